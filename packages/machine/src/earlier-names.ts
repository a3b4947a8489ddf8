/**
 * The names that 0.2 had for types which a PC and an Arm board share. They go with the release after the next one.
 *
 * @deprecated Write `Machine` for `Pc`, and `MachineActivity` for `PcState`.
 */
export type {
  MachineEjectOptions as PcEjectOptions,
  MachineRemovableDrive as PcRemovableDrive,
} from './devices/removable-drive.ts'
export type { MachineFlash as PcFlash } from './firmware/flash.ts'
export type {
  MachineActivity as PcState,
  MachineRestoreOptions as PcRestoreOptions,
  MachineSaveOptions as PcSaveOptions,
} from './life/machine-life.ts'
export type { MachinePluggable as PcPluggable, MachineUnplugOptions as PcUnplugOptions } from './machine/hot-plug.ts'
export type {
  MachineBootOptions as PcBootOptions,
  MachineDrive as PcDrive,
  MachineNvmePlace as PcNvmePlace,
  MachineScsiPlace as PcScsiPlace,
  MachineVirtioDisk as PcVirtioDisk,
} from './options/drives.ts'
export type { MachineForks as PcForks } from './options/fork-room.ts'
export type { MachineGeneration as PcGeneration } from './options/machine-options.ts'
export type {
  MachineNetworkCard as PcNetworkCard,
  MachineNetworkPlace as PcNetworkPlace,
} from './options/network-card.ts'
export type {
  MachinePciPlace as PcPciPlace,
  MachineRootPort as PcRootPort,
  MachineSoundDevice as PcSoundDevice,
  MachineUsb as PcUsb,
  MachineUsbDevice as PcUsbDevice,
  MachineVirtioPlace as PcVirtioPlace,
} from './options/pci-options.ts'
export type { MachineVirtioDevice as PcVirtioDevice } from './options/virtio-device.ts'
