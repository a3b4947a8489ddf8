import type { PcOptions } from '../pc-options.ts'

/** What a clone has of its own, as in {@link PcOptions}. */
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
  | 'onSleep'
  | 'onDeviceFailure'
  | 'trace'
> {
  /** Host time that devices may take to bring their work to rest, in milliseconds; default 10 seconds. */
  readonly deadlineMs?: number | undefined
}

/** All of them. */
export const FORK_OPTIONS: readonly (keyof PcForkOptions)[] = [
  'devices',
  'virtio',
  'networkCards',
  'usb',
  'sound',
  'speaker',
  'keyboard',
  'mouse',
  'screen',
  'onSleep',
  'onDeviceFailure',
  'trace',
  'deadlineMs',
]
