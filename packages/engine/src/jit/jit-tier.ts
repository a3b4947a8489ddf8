// Apart from the other options: descriptions of code name it, and the options name descriptions of code.
/** A way to compile: 1 copies the code of instructions from templates, 2 evaluates it for each place, with what is known there. */
export type JitTier = 1 | 2
