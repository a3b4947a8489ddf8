import { Signal } from '@retrap/gdb'

/**
 * Exception classes that can be caught, by names of ours, with the signals that Linux makes of them.
 *
 * Source: Arm ARM (DDI 0487) D24.2.40, "ESR_EL1", field EC.
 */
const CLASSES: readonly (readonly [number: number, name: string, signal: number])[] = [
  [0x00, 'undefined', Signal.ILL],
  [0x07, 'fp', Signal.ILL],
  [0x0d, 'bti', Signal.ILL],
  [0x0e, 'illegal-state', Signal.ILL],
  [0x11, 'svc32', Signal.TRAP],
  [0x15, 'svc', Signal.TRAP],
  [0x18, 'system-register', Signal.ILL],
  [0x20, 'instruction-abort', Signal.SEGV],
  [0x22, 'pc-alignment', Signal.BUS],
  [0x24, 'data-abort', Signal.SEGV],
  [0x26, 'sp-alignment', Signal.BUS],
  [0x30, 'breakpoint', Signal.TRAP],
  [0x32, 'step', Signal.TRAP],
  [0x34, 'watchpoint', Signal.TRAP],
  [0x38, 'bkpt', Signal.TRAP],
  [0x3c, 'brk', Signal.TRAP],
]

/** The number of an exception class, from its name or number; undefined for none. */
export function exceptionClassNumber(word: string): number | undefined {
  const [named] = CLASSES.find(([, name]) => name === word.toLowerCase()) ?? []
  if (named !== undefined) return named
  const number = /^(0x[\da-f]{1,2}|\d{1,2})$/i.test(word) ? Number(word) : 64
  return number < 64 ? number : undefined
}

/** The name of an exception class. */
export const exceptionClassName = (number: number): string =>
  CLASSES.find(([each]) => each === number)?.[1] ?? `0x${number.toString(16)}`

/** The signal of an exception class. */
export const exceptionClassSignal = (number: number): number =>
  CLASSES.find(([each]) => each === number)?.[2] ?? Signal.TRAP
