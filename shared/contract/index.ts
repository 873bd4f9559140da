/** Everything on the wire. Published as `bootplane/contract`. */
export * from './base64url.ts';
export * from './canonical.ts';
export * from './document.ts';
export * from './event.ts';
export * from './fleet-keys.ts';
export * from './forward.ts';
export * from './headers.ts';
export * from './ids.ts';
export * from './leader.ts';
export * from './node.ts';
export * from './plan.ts';
export * from './pointer.ts';
export * from './problem.ts';
export * from './profile.ts';
export * from './reconcile.ts';
export * from './status.ts';
