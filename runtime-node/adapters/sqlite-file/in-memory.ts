/** The path of a database that is kept in memory only. */
export const IN_MEMORY = ':memory:';
