import type { ClassSpec, PropertySpec } from '../../../shared/contract/profile.ts';
import { VectorError } from '../../../shared/ports/vector-index.ts';
import { messageOf, parse, toStatedError } from './faults.ts';
import type { Rest } from './rest.ts';
import { type Layout, ownProperties, toLayout, toNewClass, toNewProperty, WireClass, WireSchema } from './schema.ts';

/** Weaviate's schema: classes and their properties. Nothing here changes what is there. */
export function createClasses(rest: Rest) {
  async function find(name: string): Promise<Layout | undefined> {
    const { status, text } = await rest.call({ method: 'GET', path: `/v1/schema/${name}` }, [200, 404], `reading class ${name}`);
    return status === 404 ? undefined : toLayout(read(WireClass, text));
  }

  async function get(name: string): Promise<Layout> {
    const layout = await find(name);
    if (layout === undefined) throw new VectorError('no_such_class', `There is no class ${name}: declare it first`);
    return layout;
  }

  /** Adds one; undefined when it is there now, whoever added it, and else why not. */
  async function addProperty(name: string, body: unknown): Promise<string | undefined> {
    const call = { method: 'POST', path: `/v1/schema/${name}/properties`, body: JSON.stringify(body) } as const;
    const { status, text } = await rest.call(call, [200, 422], `adding a property to ${name}`);
    return status === 200 ? undefined : (messageOf(parse(text)) ?? 'it gives no reason');
  }

  async function addMissing(name: string, property: PropertySpec): Promise<void> {
    const said = await addProperty(name, toNewProperty(property));
    if (said === undefined) return;
    // Another node may have been first.
    const type = (await get(name)).types.get(property.name);
    if (type === undefined) throw toStatedError(said, `property ${property.name} of ${name}`);
    refuseOtherType(name, property, type);
  }

  return {
    /** Rejects with `no_such_class`. */
    read: get,

    async readAll(): Promise<Layout[]> {
      const { text } = await rest.call({ method: 'GET', path: '/v1/schema' }, [200], 'reading the schema');
      return (read(WireSchema, text).classes ?? []).map(toLayout);
    },

    /** Whether the class was not there. */
    async ensure(spec: ClassSpec, made_by?: string): Promise<boolean> {
      if ((await find(spec.name)) !== undefined) return false;
      const call = { method: 'POST', path: '/v1/schema', body: JSON.stringify(toNewClass(spec, made_by)) } as const;
      const { status, text } = await rest.call(call, [200, 422], `making class ${spec.name}`);
      if (status === 200 || (await find(spec.name)) !== undefined) return true;
      throw toStatedError(messageOf(parse(text)) ?? 'it gives no reason', `class ${spec.name}`);
    },

    /** One that is not there is no error. */
    async remove(name: string): Promise<void> {
      const { status, text } = await rest.call({ method: 'DELETE', path: `/v1/schema/${name}` }, [200, 400, 404], `removing class ${name}`);
      if (status === 400 && (await find(name)) !== undefined) {
        throw toStatedError(messageOf(parse(text)) ?? 'it gives no reason', `the removal of class ${name}`);
      }
    },

    find,

    async ensureProperties(name: string, wanted: readonly PropertySpec[]): Promise<void> {
      const { types } = await get(name);
      for (const property of wanted) refuseOtherType(name, property, types.get(property.name) ?? property.type);
      for (const property of wanted) if (!types.has(property.name)) await addMissing(name, property);
    },

    /** Our own properties, to a class that others made. */
    async addOwn({ name, own }: Layout): Promise<void> {
      for (const [property, body] of ownProperties()) {
        const said = own.has(property) ? undefined : await addProperty(name, body);
        if (said !== undefined && !(await get(name)).own.has(property)) throw toStatedError(said, `property ${property} of ${name}`);
      }
    },
  };
}

function refuseOtherType(className: string, { name, type }: PropertySpec, is: string): void {
  if (is === type) return;
  throw new VectorError(
    'incompatible',
    `The property ${name} of ${className} has the type ${is} and cannot become ${type}: use another name`,
  );
}

function read<T>(schema: { safeParse(value: unknown): { data?: T } }, text: string): T {
  const { data } = schema.safeParse(parse(text));
  if (data !== undefined) return data;
  throw new VectorError('failed', `Weaviate describes its classes in a way that this version does not know: ${text.slice(0, 200)}`);
}
