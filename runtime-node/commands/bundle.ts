import { createArtifactClient } from '../../shared/artifact-client.ts';
import type { DocumentKind, OfferAnswer, OfferOutcome } from '../../shared/contract/document.ts';
import { deriveFleetKeys } from '../../shared/contract/fleet-keys.ts';
import { memberKeys } from '../../shared/contract/member-keys.ts';
import type { Settings } from '../config.ts';
import { megabytes } from './artifact-upload.ts';
import { exportBundle } from './bundle-export.ts';
import { type Imported, importBundle } from './bundle-import.ts';
import { type VerifierOf, verifyBundle } from './bundle-read.ts';
import type { Define } from './command.ts';
import { connect, connectUnbounded, findFleetKey, findMember } from './connect.ts';
import { EXIT_CODES } from './errors.ts';
import { printJson, printLines } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';

const HELP = `
Examples:
  bootplane bundle export site.bundle      the published plan and profile, with all artifacts of the plan
  bootplane bundle import site.bundle      bring them to a site without a network, on a node of it

An import needs a node of the same fleet that runs, and its fleet key or, of a node without it, its directory. It verifies everything first and changes nothing
when something does not fit; broken off, it is run again and goes on.`;

const TITLES: Record<DocumentKind, string> = { plan: 'Cluster Plan', profile: 'Environment Profile' };

const OUTCOMES: Record<OfferOutcome, string> = {
  adopted: 'is current now',
  kept: 'changes nothing: what is there is the same or newer',
  conflict: 'lost to what was published there meanwhile, and is kept: see `bootplane conflicts`',
  republished: 'lost to what was published there meanwhile, which was published again above it: see `bootplane conflicts`',
  waits: 'waits for the leader of the site to decide',
};

export const define: Define = (command, run) => {
  command.addHelpText('after', HELP);
  const exporting = command.command('export <file>').description('write what is published into one file').allowExcessArguments(false);
  addSettings(exporting, CLIENT_SETTINGS)
    .option('--json', 'print the manifest')
    .action(
      run(async (io, called) => {
        const settings = settingsFrom(io, called);
        const artifacts = createArtifactClient(await connectUnbounded(io, settings));
        const { file, bytes, manifest } = await exportBundle(io, await connect(io, settings), artifacts, called.args[0] ?? '');
        if (called.opts().json === true) return printJson(io, manifest);
        const documents = manifest.documents.map(({ kind }) => TITLES[kind]).join(' and ');
        printLines(io, [`wrote ${file}, ${megabytes(bytes)} MB: ${documents}, ${counted(manifest.artifacts.length)}`]);
      }),
    );
  const importing = command.command('import <file>').description('bring such a file to a node').allowExcessArguments(false);
  addSettings(importing, CLIENT_SETTINGS)
    .option('--json', 'print what came of it')
    .action(
      run(async (io, called) => {
        const settings = settingsFrom(io, called);
        const bundle = await verifyBundle(io, called.args[0] ?? '', await verifierOf(settings));
        const artifacts = createArtifactClient(await connectUnbounded(io, settings));
        const done = await importBundle(io, await connect(io, settings), artifacts, bundle);
        if (called.opts().json === true) printJson(io, done);
        else printLines(io, report(done));
        const isLost = Object.values(done.documents).some(({ outcome }) => outcome === 'conflict' || outcome === 'republished');
        return isLost ? EXIT_CODES.refused : EXIT_CODES.ok;
      }),
    );
};

function report({ artifacts: { stored, present }, documents }: Imported): string[] {
  const lines = (['profile', 'plan'] as const).flatMap((kind) => {
    const answer = documents[kind];
    return answer === undefined ? [] : [outcomeLine(kind, answer)];
  });
  return [`${counted(stored)} stored${present === 0 ? '' : `, ${present} there already`}`, ...lines];
}

function outcomeLine(kind: DocumentKind, { outcome, current }: OfferAnswer): string {
  const now = current === undefined ? '' : ` (current: generation ${current.generation})`;
  return `the ${TITLES[kind]} ${OUTCOMES[outcome]}${now}`;
}

function counted(count: number): string {
  return `${count} ${count === 1 ? 'artifact' : 'artifacts'}`;
}

/** By the fleet key, or by the document keys that a node without it trusts. */
async function verifierOf(settings: Settings): Promise<VerifierOf> {
  const member = await findMember(settings.data_dir);
  const key = member === undefined ? await findFleetKey(settings) : settings.api_key;
  return async (fleet) => {
    if (member?.fleet === fleet) return (await memberKeys(member, () => 0)).documents;
    return (await deriveFleetKeys(fleet, key ?? (await findFleetKey(settings)))).documents;
  };
}
