import type { MachineForkOptions } from '../options/machine-options.ts'
import type { PcOptions } from '../options/pc-options.ts'

/** The options of a clone's own, as in {@link PcOptions}. */
export interface PcForkOptions extends MachineForkOptions, Pick<PcOptions, 'speaker' | 'onSleep' | 'onWarning'> {}

/** All of them: a name that is missing here, or too many, is an error of types. */
const ALL: Readonly<Record<keyof MachineForkOptions, true>> = {
  devices: true,
  virtio: true,
  networkCards: true,
  usb: true,
  sound: true,
  keyboard: true,
  mouse: true,
  screen: true,
  generation: true,
  onDeviceFailure: true,
  trace: true,
  deadlineMs: true,
}
const PC: Readonly<Record<Exclude<keyof PcForkOptions, keyof MachineForkOptions>, true>> = {
  speaker: true,
  onSleep: true,
  onWarning: true,
}

/** The names of what a clone has of its own, by its board. */
export const FORK_OPTIONS: Readonly<Record<'pc' | 'virt', readonly string[]>> = {
  pc: [...Object.keys(ALL), ...Object.keys(PC)],
  virt: [...Object.keys(ALL), 'virtioMmio'],
}
