/** The Worker can't start as it is set up; `message` says what to do. */
export class SetupError extends Error {
  override readonly name = 'SetupError';
}
