import type { BackEndSettings } from '../back-ends/back-ends.ts'
import type { DeviceHost } from '../devices/devices.ts'
import type { CreateDevices } from '@retrap/linux-guest/machine/machine-contract'
import type { DisplaySettings } from '../display/display-option.ts'
import type { GdbOption } from '../gdb/session-gdb.ts'
import type {
  Machine,
  MachineImages,
  MachineOptions,
  MachineSnapshotSource,
} from '@retrap/linux-guest/machine/machine-contract'
import type { MonitorFlags } from '../monitor/monitor-sockets.ts'
import type { MigrationAddress } from '../migration/socket-channel.ts'
import type { PortDevice } from '../monitor/hot-devices.ts'
import type { RecordingSettings } from '../recording/session-recording.ts'
import type { TerminalSettings } from './session-terminal.ts'
import type { SnapshotSettings } from '../snapshots/session-snapshots.ts'
import type { SessionTrace } from '../trace/session-trace.ts'

/** The settings of a session: its machine, and the back ends. */
export interface SessionSettings extends BackEndSettings, Omit<TerminalSettings, 'monitor'>, MonitorFlags {
  readonly machine: Omit<
    MachineOptions,
    'devices' | 'deviceServers' | 'serialPorts' | 'drives' | 'flash' | keyof MachineImages
  >
  /** Reads the machine's images; called again after a reset, because a machine may consume them. */
  readonly images: () => Promise<MachineImages>
  readonly devices: CreateDevices
  readonly events?: { tell?: DeviceHost['tell'] }
  /** Target of the graphics card's picture; default none. */
  readonly display?: DisplaySettings
  readonly timeoutMs?: number
  readonly stats?: 'json' | 'text'
  /** Devices behind root ports, as in the options. */
  readonly portDevices?: readonly PortDevice[]
  /** The profile that the machine's samples go to. */
  readonly profile?: SessionProfile
  /** The cache of compiled code, written when the session ends. */
  readonly unitCache?: { close(): void }
  readonly trace?: Pick<SessionTrace, 'attach' | 'end'>
  /** Address at which to wait for a migrated machine. */
  readonly incoming?: MigrationAddress
  /** Takes over the arrived machine before it runs: `claim` opens its disks, with the writes that drives keep in memory. */
  readonly takeOver?: (claim: (writes: unknown) => Promise<void>) => Promise<{ readonly isPaused: boolean }>
  /** The Unix socket that takes commands. */
  readonly control?: string
  /** Address for gdb. */
  readonly gdb?: GdbOption
  /** The file that has the number of this process while the session lasts. */
  readonly pidFile?: string
  /** Starts another process that runs the session. */
  readonly daemonize?: boolean
  /** Settings for saving the machine. */
  readonly snapshots: SnapshotSettings
  /** Settings for a run that is recorded or replayed. */
  readonly recording?: RecordingSettings
  /**
   * Reads the snapshot that the machine goes on from; default it is powered on. `onLost` gets the reason why a part of
   * that cannot be read, which ends the run.
   */
  readonly restore?: (tell: (text: string) => void, onLost: (message: string) => void) => Promise<MachineSnapshotSource>
  /** Whether the user had paused the machine when it was saved: it stands still until `cont`. */
  readonly wasPaused?: boolean
  /** Whether the restored guest has to set its clock. */
  readonly setsClock?: boolean
  /** A guest that resets its machine ends the run. */
  readonly noReboot?: boolean
}

/** The part of a guest's profile that a session drives. */
export interface SessionProfile {
  /** The profile takes no more samples. */
  readonly isFull: boolean
  /** Names the sampled code while the machine still exists. */
  resolve(machine: Machine, kernel: Uint8Array | undefined): void
  write(): void
}
