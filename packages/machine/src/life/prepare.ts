import { prepareX86Engine } from '@retrap/x86-cpu'
import type { PcOptions } from '../pc/pc-options.ts'

/**
 * Generates what all PCs of a process share, such as the interpreter: the first {@link createPc} does it otherwise, and takes
 * a fifth of a second or more for it. For programs that have the time before their user has chosen a machine.
 *
 * @param options - as the machines will have them
 */
export function preparePc(options: Pick<PcOptions, 'controllerPlacement' | 'jit' | 'sharedMemory'> = {}): void {
  prepareX86Engine(isShared(options), options.jit !== undefined && options.jit !== false)
}

/** Whether machine memory is shared between threads. */
export const isShared = ({
  sharedMemory,
  controllerPlacement,
}: Pick<PcOptions, 'controllerPlacement' | 'sharedMemory'>): boolean =>
  sharedMemory === true || controllerPlacement !== undefined
