/** The instruction sets that are compared, and what they are compared with. */
import { spawnSync } from 'node:child_process'

/** An instruction set, and how long its words are. */
export type SetName = 'a64' | 'a32' | 't32' | 't16'

/** Whether a program can be run. */
export const hasProgram = (name: string): boolean => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0
