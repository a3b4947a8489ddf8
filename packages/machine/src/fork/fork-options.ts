import type { PcOptions } from '../options/pc-options.ts'

/** The options of a clone's own, as in {@link PcOptions}. */
export interface PcForkOptions extends Pick<
  PcOptions,
  | 'devices'
  | 'virtio'
  | 'networkCards'
  | 'usb'
  | 'sound'
  | 'speaker'
  | 'keyboard'
  | 'mouse'
  | 'screen'
  | 'generation'
  | 'onSleep'
  | 'onDeviceFailure'
  | 'onWarning'
  | 'trace'
> {
  /** Host time that devices may take to bring their work to rest, in milliseconds; default 10 seconds. */
  readonly deadlineMs?: number | undefined
}

/** All of them: a name that is missing here, or too many, is an error of types. */
const ALL: Readonly<Record<keyof PcForkOptions, true>> = {
  devices: true,
  virtio: true,
  networkCards: true,
  usb: true,
  sound: true,
  speaker: true,
  keyboard: true,
  mouse: true,
  screen: true,
  generation: true,
  onSleep: true,
  onDeviceFailure: true,
  onWarning: true,
  trace: true,
  deadlineMs: true,
}
export const FORK_OPTIONS: readonly string[] = Object.keys(ALL)
