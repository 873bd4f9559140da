import type { DocumentKind } from '../../shared/contract/document.ts';
import type { Define } from './command.ts';
import { connect } from './connect.ts';
import { refuseUnchecked, withPlaces } from './document-check.ts';
import { type DocumentFile, invalid, readDocumentFile } from './document-file.ts';
import { type Io, withProgress } from './io.ts';
import { addSettings, CLIENT_SETTINGS, settingsFrom } from './options.ts';
import { DIFF_HELP, showDiff } from './reconcile-diff.ts';

const HELP = `
Examples:
  bootplane diff                            what the next reconcile of this node would do
  bootplane diff profile.yaml               what it would do if that were the Environment Profile
  bootplane diff plan.yaml --json           what it would do if that were the Cluster Plan

A file is compared with what is really there, on the backends of the node that answers. Nothing is published, and
nothing is applied. What publishing would change of the document itself: \`profile diff\` and \`plan diff\`.
${DIFF_HELP}`;

export const define: Define = (command, run) => {
  addSettings(command.argument('[file]', 'a plan or a profile in YAML or JSON; - reads standard input'), CLIENT_SETTINGS)
    .option('--json', 'print the answer')
    .addHelpText('after', HELP)
    .action(
      run(async (io, command) => {
        const draft = await readDraft(io, command.args[0]);
        const client = await connect(io, settingsFrom(io, command));
        const call =
          draft === undefined
            ? client.reconcileDiff()
            : withPlaces(draft.file, client.draftDiff({ [draft.kind]: draft.file.body }), `/${draft.kind}`);
        const { body } = await withProgress(io, 'comparing desired and actual', call);
        return showDiff(io, body, command.opts().json === true);
      }),
    );
};

async function readDraft(io: Io, path: string | undefined): Promise<{ kind: DocumentKind; file: DocumentFile } | undefined> {
  if (path === undefined) return undefined;
  const file = await readDocumentFile(io, path);
  const kind = kindOf(file);
  refuseUnchecked(file, kind);
  return { kind, file };
}

const FIELDS: Record<DocumentKind, readonly string[]> = { plan: ['services', 'ttl_seconds'], profile: ['storage', 'broker', 'vector'] };

/** By what only one of the two has. */
function kindOf({ name, body }: DocumentFile): DocumentKind {
  const isPlan = FIELDS.plan.some((field) => field in body);
  const isProfile = FIELDS.profile.some((field) => field in body);
  if (isPlan !== isProfile) return isPlan ? 'plan' : 'profile';
  const what = isPlan ? 'must be one of the two' : 'is neither';
  throw invalid([`${name}:1:1 ${what}: a Cluster Plan (services) or an Environment Profile (storage, broker, vector)`]);
}
