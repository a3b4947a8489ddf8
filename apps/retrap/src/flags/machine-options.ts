import { plainLine, defined } from '@retrap/basics'
import type { DeviceFailure } from '@retrap/ioreq'
import { describeThrown } from '@retrap/machine'
import type { ArmDeviceNode } from '@retrap/machine/arm'
import { gicOf } from './arm-options.ts'
import {
  isModuleBehindPort,
  runsInWorker,
  startBoardWorker,
  startControllerWorker,
} from '../machine/devices/device-modules.ts'
import { type DeviceHost, prepareDevices } from '../machine/devices/devices.ts'
import { startRemoteDevices, type DeviceServerAddress, type NamedDevices } from '../machine/devices/device-servers.ts'
import { displaySettings, type DisplayFlags } from '../machine/display/display-option.ts'
import type { DriveArgument } from '../machine/drives/drives.ts'
import type { GdbOption } from '../machine/gdb/session-gdb.ts'
import { identityOf, type IdentityFlags } from './identity-options.ts'
import { withOptionRoms } from './images.ts'
import { compileHelper } from '@retrap/linux-guest/machine/compile-helper'
import { jitDump } from '../machine/jit-dump.ts'
import type { MigrationAddress } from '../machine/migration/socket-channel.ts'
import { devicesBehindPorts } from '../machine/monitor/hot-devices.ts'
import type { MonitorFlags } from '../machine/monitor/monitor-sockets.ts'
import { listNetworks, type NetworkFlags } from '../machine/network/networks.ts'
import { rootPorts, usbController } from '../machine/devices/pci-devices.ts'
import { GuestProfile } from '../machine/profile/guest-profile.ts'
import { readSymbolFiles } from '../machine/profile/symbol-file.ts'
import type { InputPolicy } from '../machine/session/serial-input.ts'
import { serialTargets, type ChardevArgument, type SerialFlags } from '../machine/serial/serial-options.ts'
import type { SessionSettings } from '../machine/session/session-settings.ts'
import { listVsock, type VsockFlags } from '../machine/network/vsock-option.ts'
import { listShares, type ShareFlags } from '../machine/share/share-options.ts'
import { listSound, type SoundFlags } from '../machine/devices/sound.ts'
import { smpOf } from '@retrap/linux-guest/machine/vcpu-workers'
import { UnitCache } from '@retrap/linux-guest/machine/unit-cache/unit-cache'
import { traceOf, type TraceFlags } from '../machine/trace/trace-option.ts'
import { usage, type DeviceArgument } from '../options/values.ts'
import { listConsoles } from '../machine/serial/console-devices.ts'

/**
 * Bytes for decoded instructions; the host allocates used ones. Measured: gcc fills the default of 64 MiB, and all compiled code is lost
 * too.
 */
const CODE_CACHE_BYTES = 128 << 20

/** Options that every machine takes. */
export interface MachineFlags extends DisplayFlags, BackEndFlags, SoundFlags, TraceFlags, IdentityFlags, MonitorFlags {
  readonly memory: number
  readonly cpu?: string
  readonly cpus: number
  readonly smp?: 'threads' | 'turns'
  readonly machine: string
  readonly reboot?: boolean
  readonly tripleFault?: 'end' | 'reset'
  readonly jit?: 'on' | 'inline' | 'off'
  readonly jitDump?: string
  readonly unitCache?: string
  readonly profile?: string
  readonly symbols?: readonly string[]
  readonly hypervisor?: 'none' | 'xen'
  readonly console?: 'serial' | 'xen'
  readonly device?: readonly DeviceArgument[]
  readonly deviceServer?: readonly (DeviceServerAddress | NamedDevices)[]
  readonly devices?: 'inline' | 'async' | 'worker'
  readonly controllers?: 'inline' | 'worker'
  readonly deviceFailure?: 'crash' | 'detach'
  readonly deviceDeadline?: number
  readonly deviceNode?: readonly ArmDeviceNode[]
  readonly checkMappings?: boolean
  readonly timeout?: number
  readonly saveOnExit?: string
  readonly control?: string
  readonly pidfile?: string
  readonly daemonize?: boolean
  readonly incoming?: MigrationAddress
  readonly gdb?: GdbOption
  readonly record?: string
  readonly recordCheckpoints?: 'on' | 'off'
  readonly recordBundle?: boolean
  readonly recordImages?: 'inside' | 'named'
  readonly replay?: string
  readonly stats?: 'json' | 'text'
  readonly deterministic?: boolean
  readonly pace?: 'on' | 'off'
  readonly vapic?: boolean
  readonly optionRom?: readonly string[]
}

/** The session that a command's options ask for. */
export async function settingsFor(
  flags: MachineFlags,
  images: SessionSettings['images'],
  input: InputPolicy,
  host: DeviceHost,
  card: 'std' | 'ramfb' | 'none' = 'none',
  drives: readonly DriveArgument[] = [],
): Promise<SessionSettings> {
  const events: { tell?: DeviceHost['tell'] } = {}
  const { stdout, stderr } = host
  const told: DeviceHost = { stdout, stderr, tell: (...event) => events.tell?.(...event) }
  const usb = usbController(flags.device, drives)
  if (flags.console === 'xen' && flags.hypervisor !== 'xen') throw usage('--console xen needs --hypervisor xen')
  const ports = rootPorts(flags.device)
  const [board, smm] = flags.machine.split(',')
  const gic = gicOf(flags.machine)
  const trace = await traceOf(flags, host.stderr)
  const unitCache = unitCacheOf(flags, host)
  const profile = await profileOf(flags)
  return {
    machine: {
      memoryBytes: flags.memory,
      // Larger guests, with the most vCPUs or with forks, need the room below 4 GiB.
      ...(flags.memory <= 2 ** 31 && { codeCacheBytes: CODE_CACHE_BYTES }),
      cpus: flags.cpus,
      ...smpOf(flags),
      ...(await identityOf(flags)),
      generation: {},
      ...(board === 'q35' && { machine: board }),
      ...(smm === 'smm=on' && { smm: true }),
      ...defined({ gic, deviceNodes: flags.deviceNode, cpu: flags.cpu, usb, sampling: profile }),
      ...jitSettings(flags, unitCache, host),
      ...(flags.tripleFault === 'reset' && { tripleFault: flags.tripleFault }),
      clock: flags.deterministic === true ? 'deterministic' : 'real',
      ...(flags.hypervisor === 'xen' && { hypervisor: flags.hypervisor }),
      ...(flags.devices === 'async' && { devicePlacement: 'deferred' as const }),
      ...(flags.devices === 'worker' && { devicePlacement: startBoardWorker }),
      ...(flags.controllers === 'worker' && { controllerPlacement: startControllerWorker }),
      ...(flags.deviceFailure === 'detach' && {
        devicePolicy: flags.deviceFailure,
        onDeviceFailure: (failure: DeviceFailure) => void host.stderr.write(formatDeviceFailure(failure)),
      }),
      ...(flags.device?.some(runsInWorker) === true && { sharedMemory: true }),
      ...(flags.checkMappings === true && { checkMappings: true }),
      ...(trace?.access && { trace: trace.access }),
      ...(flags.vapic === true && { vapic: true }),
      ...defined({ vga: flags.vga, preferredMode: flags.preferredMode, deviceDeadlineMs: flags.deviceDeadline }),
      ...(ports.length > 0 && { rootPorts: ports }),
    },
    portDevices: devicesBehindPorts(flags.device),
    ...backEndsOf(flags),
    ...listSound(flags),
    modules: (flags.device ?? []).filter(isModuleBehindPort),
    images: async () => withOptionRoms(await images(), flags.optionRom),
    events,
    devices: prepareDevices(
      flags.device ?? [],
      told,
      flags.deviceServer?.map((address) =>
        startRemoteDevices(address, (text) => void host.stderr.write(`retrap: ${text}\n`)),
      ),
    ),
    ...displaySettings(flags, card),
    serial: serialTargets(flags),
    ...(flags.reboot === false && { noReboot: true }),
    console: flags.console ?? 'serial',
    snapshots: { arguments: [], onExit: flags.saveOnExit },
    ...defined({ control: flags.control, pidFile: flags.pidfile, incoming: flags.incoming, stats: flags.stats }),
    ...(flags.daemonize === true && { daemonize: true }),
    ...defined({ monitor: flags.monitor, qmp: flags.qmp }),
    ...(flags.paused === true && { paused: true }),
    // A recorded machine waits for gdb.
    ...(flags.gdb !== undefined && { gdb: { ...flags.gdb, wait: flags.gdb.wait || flags.record !== undefined } }),
    recording: {
      arguments: [],
      record: flags.record,
      ...(flags.pace !== undefined && { keepsPace: flags.pace === 'on' }),
      keepsCheckpoints: flags.recordCheckpoints !== 'off',
      isBundled: flags.recordBundle === true,
      namesImages: flags.recordImages === 'named',
      replay: flags.replay,
    },
    input,
    ...defined({ trace, profile, unitCache, timeoutMs: flags.timeout }),
  }
}

async function profileOf({ profile, symbols = [], cpus }: MachineFlags): Promise<GuestProfile | undefined> {
  if (profile !== undefined) return new GuestProfile(profile, cpus, await readSymbolFiles(symbols))
  if (symbols.length > 0) throw usage('--symbols needs --profile FILE')
  return undefined
}

/** Returns the session's cache of compiled code. */
function unitCacheOf({ jit, jitDump, unitCache }: MachineFlags, host: DeviceHost): UnitCache | undefined {
  // Code from the unit cache is not compiled, and would be missing from a dump.
  if (jit === undefined || jit === 'off' || jitDump !== undefined || unitCache === 'off') return undefined
  if (unitCache === '') throw usage('--unit-cache needs a folder, or off')
  return new UnitCache(unitCache, (message) => void host.stderr.write(`retrap: ${message}\n`))
}

function jitSettings(
  flags: MachineFlags,
  keep: UnitCache | undefined,
  host: DeviceHost,
): Pick<SessionSettings['machine'], 'jit'> {
  const { jit, jitDump: folder } = flags
  if (folder === undefined) {
    if (jit !== 'on' && jit !== 'inline') return {}
    // In a run that can be repeated nothing may depend on the time at which the host has compiled.
    const isAgain = flags.deterministic === true || flags.record !== undefined || flags.replay !== undefined
    const helper = jit === 'inline' || isAgain ? undefined : compileHelper()
    return {
      jit: keep === undefined && helper === undefined ? true : { ...(keep && { keep }), ...(helper && { helper }) },
    }
  }
  if (jit !== 'on') throw usage('--jit-dump needs --jit on')
  return { jit: { onCode: jitDump(folder, (message) => void host.stderr.write(`retrap: ${message}\n`)) } }
}

/** Options that name networks, directories and streams. */
interface BackEndFlags extends NetworkFlags, ShareFlags, SerialFlags, VsockFlags {}

/** Returns the options of networks, cards, virtio devices and consoles, with their back ends. @throws CliError `ERR_USAGE` */
function backEndsOf(
  flags: BackEndFlags,
): ReturnType<typeof listNetworks> & { readonly chardevs: readonly ChardevArgument[] } {
  const listed = listNetworks(flags)
  const virtio = [...listed.virtio, ...listShares(flags), ...listVsock(flags), ...listConsoles(flags)]
  return { ...listed, virtio, chardevs: flags.chardev ?? [] }
}

/** Returns the message about a device that was taken out. */
function formatDeviceFailure({ serverName, device, request, cause }: DeviceFailure): string {
  const where = plainLine(`device ${device} of server ${serverName} failed at ${request}`)
  return `retrap: ${where} and was taken out: ${describeThrown(cause)}\n`
}
