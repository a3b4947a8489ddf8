export { ACPI_PM, AcpiPm, type AcpiPmOptions, type AcpiPmState } from './acpi-pm.ts'
export type { CmosConfiguration } from './cmos-layout.ts'
export { DEBUG_CONSOLE_READBACK, DebugConsole, type DebugConsoleOptions } from './debug-console.ts'
export { DebugExit, type DebugExitOptions } from './debug-exit.ts'
export { FW_CFG_KEY, FwCfg, type FwCfgItem, type FwCfgOptions, type FwCfgState, type FwCfgTransfer } from './fw-cfg.ts'
export { HostBridge, type HostBridgeOptions, type ShadowRange } from './host-bridge.ts'
export {
  Hpet,
  HPET_BASE,
  HPET_BYTES,
  HPET_PERIOD_NS,
  type HpetOptions,
  type HpetState,
  type HpetTimerState,
} from './hpet.ts'
export { I8042, type I8042State } from './i8042.ts'
export type { LateEdgesState } from './late-edges.ts'
export { I8254, type I8254Options, type I8254State, type LegacyInterruptSource } from './i8254.ts'
export type { I8254ChannelState } from './i8254-channel.ts'
export { IsaBridge, type IsaBridgeOptions, type IsaBridgeState } from './isa-bridge.ts'
export { CMOS_CENTURY, Mc146818, type Mc146818Options, type Mc146818State } from './mc146818.ts'
export { PostCodePort, type PostCodeState } from './post-code.ts'
export { RESET_CONTROL, ResetControl, type ResetControlState } from './reset-control.ts'
export { Uart16550, type Uart16550Options, type Uart16550State } from './uart16550.ts'
export { XenPlatform, XenUnplug, type XenPlatformOptions, type XenPlatformState } from './xen-platform.ts'
