import type { ArmForkOptions } from './machine-options.ts'

/** All of them: a name that is missing here, or too many, is an error of types. */
const ALL: Readonly<Record<keyof ArmForkOptions, true>> = {
  devices: true,
  virtio: true,
  virtioMmio: true,
  networkCards: true,
  usb: true,
  sound: true,
  keyboard: true,
  mouse: true,
  screen: true,
  onDeviceFailure: true,
  trace: true,
  deadlineMs: true,
}
/** The names of {@link ArmForkOptions}. */
export const ARM_FORK_OPTIONS: readonly string[] = Object.keys(ALL)
