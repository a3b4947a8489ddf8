import { hasProgram } from '@retrap/tooling/skip'

/** Those of some programs that are not on the path. */
export const lackingPrograms = (...programs: readonly string[]): readonly string[] =>
  programs.filter((name) => !hasProgram(name))
