import { defineDocument } from './document.ts';

export const define = defineDocument('profile');
