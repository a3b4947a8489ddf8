export { ACPI_PM, AcpiPm, type AcpiPmOptions, type AcpiPmState } from './acpi-pm.ts'
export type { CmosConfiguration } from './cmos-layout.ts'
export { DEBUG_CONSOLE_READBACK, DebugConsole, type DebugConsoleOptions } from './debug-console.ts'
export { DebugExit, type DebugExitOptions } from './debug-exit.ts'
export { Edu, type EduOptions, type EduState } from './edu.ts'
export {
  FW_CFG_KEY,
  FwCfg,
  type FwCfgItem,
  type FwCfgOptions,
  type FwCfgRegisters,
  type FwCfgState,
  type FwCfgTransfer,
} from './fw-cfg.ts'
export { HostBridge, type HostBridgeOptions } from './host-bridge.ts'
export { Hpet, HPET_BASE, HPET_BYTES, HPET_PERIOD_NS, type HpetOptions, type HpetState } from './hpet.ts'
export type { HpetTimerState } from './hpet-comparator.ts'
export { I8042 } from './i8042.ts'
export type { I8042Options, I8042State } from './i8042-state.ts'
export { I6300Esb, type I6300EsbOptions, type I6300EsbState } from './i6300esb.ts'
export type { LateEdgesState } from './late-edges.ts'
export { I8254, type I8254Options, type I8254State, type LegacyInterruptSource } from './i8254.ts'
export type { I8254ChannelState } from './i8254-port.ts'
export { FIRST_LINK_GSI } from './pci-links.ts'
export type { ShadowRange } from './pam.ts'
export { ichInterruptLink } from './pci-links.ts'
export { IchLpc, type IchLpcOptions, type IchLpcState } from './q35/ich-lpc.ts'
export { MchHostBridge, type EcamPlacement, type MchHostBridgeOptions } from './q35/mch-host-bridge.ts'
export { interruptLink, IsaBridge, type IsaBridgeOptions, type IsaBridgeState } from './isa-bridge.ts'
export { Mc146818, type Mc146818Options, type Mc146818State } from './mc146818.ts'
export { PciTestDevice, type PciTestDeviceOptions, type PciTestDeviceState } from './pci-testdev.ts'
export { SPEAKER_FORMAT } from './pc-speaker.ts'
export { PostCodePort, type PostCodeState } from './post-code.ts'
export type { Ps2KeyboardState } from './ps2/keyboard.ts'
export type { Ps2MouseState } from './ps2/mouse.ts'
export type { MouseMotionState } from './ps2/mouse-motion.ts'
export { PvPanic, type PvPanicOptions } from './pvpanic.ts'
export { RESET_CONTROL, ResetControl, type ResetControlOptions, type ResetControlState } from './reset-control.ts'
export type { SmramSettings } from './smram.ts'
export { CMOS_CENTURY, DAY_ALARM as CMOS_DAY_ALARM } from './rtc-time.ts'
export type { ByteBatchState } from './byte-batch.ts'
export { Uart16550 } from './uart16550.ts'
export type { Uart16550Options, Uart16550State } from './uart16550-state.ts'
export { XenPlatform, XenUnplug, type XenPlatformOptions, type XenPlatformState } from './xen-platform.ts'
