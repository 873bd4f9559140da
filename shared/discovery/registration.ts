export interface Registration {
  ensure(): Promise<void>;
  /** The other side does not know this node, or not any more. */
  forget(): void;
}

/**
 * Registers when needed, again when the address of this node has changed; calls that overlap wait for
 * the same registration.
 */
export function createRegistration(act: () => Promise<void>, address: () => string): Registration {
  let registered: Promise<void> | undefined;
  let registeredAs = '';
  const ensure = () => {
    const now = address();
    if (now !== registeredAs) registered = undefined;
    registeredAs = now;
    registered ??= act().catch((error) => {
      registered = undefined;
      throw error;
    });
    return registered;
  };
  return {
    ensure,
    forget() {
      registered = undefined;
    },
  };
}
