import type { ClassSpec, PropertySpec } from '../contract/profile.ts';
import type { ActionOf } from './action.ts';

/** Every action that the vector index knows. None of them destroys: objects and properties are never dropped. */
export interface VectorActions {
  'ensure-class': { safety: 'add'; data: { spec: ClassSpec } };
  'add-properties': { safety: 'add'; data: { class_name: string; properties: readonly PropertySpec[] } };
  'class-unusable': { safety: 'incompatible'; data: { class_name: string } };
  'dimensions-differ': { safety: 'incompatible'; data: { class_name: string } };
  'property-type-differs': { safety: 'incompatible'; data: { class_name: string; property: PropertySpec } };
}

export type VectorAction = ActionOf<VectorActions>;

export const classSubject = (name: string) => `class ${name}`;
export const propertiesSubject = (name: string) => `properties of class ${name}`;
export const propertySubject = (className: string, name: string) => `property ${className}.${name}`;
