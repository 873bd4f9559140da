/** What a person does on a machine that still has the fleet key of before. Goes on from a sentence. */
export const NEW_KEY_ADVICE =
  'was the fleet key replaced? Then stop this node and give it the new one with `bootplane join - --replace < KEYFILE`, or in BOOTPLANE_API_KEY (where it has joined without the fleet key: join it again with a join key)';
