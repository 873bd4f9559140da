import { carriesJwt } from '../../contract/jwt.ts';
import { ProblemError, problemResponse } from '../problem.ts';

/** Whoever reads a token on its way can use it: taking it would hide that. */
export function exposedToken(): ProblemError {
  return new ProblemError(
    'forbidden',
    'a JWT is not taken over plain http from another machine: send it over https. Others could read this one: have it replaced',
  );
}

/** The answer to a request that came by plain http from another machine, where it carries a JWT; undefined for any other. */
export function refuseExposed({ headers }: Request): Response | undefined {
  return carriesJwt(headers) ? problemResponse(exposedToken()) : undefined;
}
