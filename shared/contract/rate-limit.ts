/** Requests a second for one credential: a gateway sends those of many callers with their own, so one caller needs far less. */
export const CREDENTIAL_PER_SECOND = 500;
/** Requests a second from one address without a right credential. A monitor asks far less often, and a whole site may share an address. */
export const ADDRESS_PER_SECOND = 20;
