import type { MachineForkOptions } from '../options/machine-options.ts'
import type { PcOptions } from '../options/pc-options.ts'

/** The options of a clone's own, as in {@link PcOptions}. */
export interface PcForkOptions extends MachineForkOptions, Pick<PcOptions, 'speaker' | 'onSleep' | 'onWarning'> {}

/** All fork options: a missing or unknown name is a type error. */
const ALL: Readonly<Record<keyof MachineForkOptions, true>> = {
  devices: true,
  drives: true,
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

/** The names of the options that a clone may set, by board. */
export const FORK_OPTIONS: Readonly<Record<'pc' | 'virt', readonly string[]>> = {
  pc: [...Object.keys(ALL), ...Object.keys(PC)],
  virt: [...Object.keys(ALL), 'virtioMmio'],
}
