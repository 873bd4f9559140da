import type { ClassSpec, PropertySpec, VectorProfile } from '../contract/profile.ts';
import type { ClassState, VectorCapabilities } from '../ports/vector-index.ts';
import { classSubject, propertiesSubject, propertySubject, type VectorAction } from './vector-actions.ts';

/**
 * What separates the classes that exist from the wanted ones: classes first, then missing
 * properties. Properties that `desired` does not name are left alone; without a desired schema there
 * is nothing to do. Names compare as Weaviate stores them. Linear in the size of both.
 */
export function diffVector(
  desired: VectorProfile | undefined,
  actual: readonly ClassState[],
  capabilities: VectorCapabilities,
): VectorAction[] {
  const found = new Map(actual.map((one) => [foldClassName(one.name), one]));
  const classes = desired?.classes ?? [];
  const pairs = classes.flatMap((wanted) => {
    const is = found.get(foldClassName(wanted.name));
    return is === undefined ? [] : [{ wanted, is }];
  });
  return [
    ...classes.filter(({ name }) => !found.has(foldClassName(name))).map(makeClass),
    ...pairs.flatMap(({ wanted, is }) => [
      ...(is.unusable === undefined ? diffDimensions(wanted, is, capabilities) : [unusable(wanted, is.unusable)]),
      ...diffProperties(wanted, is),
    ]),
  ];
}

/** Weaviate stores a class with a capital first letter. */
export function foldClassName(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/** Weaviate stores a property with a lower-case first letter. */
export function foldPropertyName(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1);
}

function makeClass(spec: ClassSpec): VectorAction {
  return { kind: 'ensure-class', safety: 'add', subject: classSubject(spec.name), after: spec, data: { spec }, needs: [] };
}

function unusable({ name }: ClassSpec, why: string): VectorAction {
  const detail = `${why}, which can't be changed: give the class a new name, or delete it by hand`;
  return { kind: 'class-unusable', safety: 'incompatible', subject: classSubject(name), detail, data: { class_name: name }, needs: [] };
}

function diffDimensions(wanted: ClassSpec, is: ClassState, { fixed_dimensions }: VectorCapabilities): VectorAction[] {
  // Where the first object fixes them, a class without objects has none to compare with.
  const same = wanted.dimensions === is.dimensions || (is.dimensions === undefined && !fixed_dimensions);
  if (wanted.dimensions === undefined || same) return [];
  const has = is.dimensions === undefined ? 'was made without dimensions' : `has ${is.dimensions} dimensions`;
  const detail = `it ${has} and the profile wants ${wanted.dimensions}, which can't be changed: give the class a new name, or delete it by hand`;
  const view = { subject: classSubject(wanted.name), before: is.dimensions, after: wanted.dimensions, detail };
  return [{ ...view, kind: 'dimensions-differ', safety: 'incompatible', data: { class_name: wanted.name }, needs: [] }];
}

function diffProperties(wanted: ClassSpec, is: ClassState): VectorAction[] {
  const types = new Map(is.properties.map(({ name, type }) => [foldPropertyName(name), type]));
  const properties = wanted.properties.filter(({ name }) => !types.has(foldPropertyName(name)));
  const differing = wanted.properties.flatMap((property) => {
    const type = types.get(foldPropertyName(property.name));
    return type === undefined || type === property.type ? [] : [typeDiffers(wanted.name, property, type)];
  });
  if (properties.length === 0) return differing;
  const view = { subject: propertiesSubject(wanted.name), after: properties };
  const data = { class_name: wanted.name, properties };
  return [{ ...view, kind: 'add-properties', safety: 'add', data, needs: [classSubject(wanted.name)] }, ...differing];
}

function typeDiffers(class_name: string, property: PropertySpec, before: string): VectorAction {
  const detail = `it is ${before} and the profile wants ${property.type}, which can't be changed: give the property a new name`;
  const view = { subject: propertySubject(class_name, property.name), before, after: property.type, detail };
  return { ...view, kind: 'property-type-differs', safety: 'incompatible', data: { class_name, property }, needs: [] };
}
