import { createPc, type Pc, type PcOptions } from '@retrap/machine'
import { onTestFinished } from 'vitest'
import { BackEnds, type BackEndSettings } from '../../src/machine/back-ends/back-ends.ts'
import { SessionRecording } from '../../src/machine/recording/session-recording.ts'
import { SessionSnapshots } from '../../src/machine/snapshots/session-snapshots.ts'
import { SessionMigration } from '../../src/machine/migration/session-migration.ts'
import { runCommand, type MonitorSite } from '../../src/machine/monitor/commands.ts'
import { QMP_COMMANDS, type QmpArguments, type QmpSite } from '../../src/machine/monitor/qmp-commands.ts'
import { devicesBehindPorts, HotDevices } from '../../src/machine/monitor/hot-devices.ts'
import { rootPorts } from '../../src/machine/devices/pci-devices.ts'
import { Chardevs } from '../../src/machine/serial/chardevs.ts'
import { parseDevice } from '../../src/options/values.ts'

/** The commands of Ctrl-A c over back ends of a session, and machines that do not run. */
export async function openMonitor(settings: BackEndSettings = {}, devices: readonly string[] = []) {
  const given = devices.map((text) => parseDevice(text))
  const backEnds = await BackEnds.open(settings, new Chardevs())
  const machines: Pc[] = []
  onTestFinished(async () => {
    for (const pc of machines) pc.close()
    await backEnds.close()
  })
  const ports = rootPorts(given)
  const told: string[] = []
  const stderr = { write: (text: string | Uint8Array) => told.push(String(text)) > 0 }
  const hot = new HotDevices(ports, devicesBehindPorts(given), backEnds, stderr)
  const snapshots = new SessionSnapshots({ arguments: [] }, [], (text) => told.push(text))
  const recording = new SessionRecording(
    { arguments: [] },
    false,
    (text) => told.push(text),
    () => undefined,
  )
  const migration = new SessionMigration({
    check: (machine) => snapshots.check(machine),
    images: () => backEnds.images,
    ...{ over: new Promise(() => {}), isPaused: () => false },
    gone: (message) => void told.push(message),
  })
  const make = async (): Promise<Pc> => {
    const { behindPorts, ...connected } = await backEnds.forMachine()
    const pc = await createPc({
      memoryBytes: 1 << 21,
      firmware: new Uint8Array(65_536),
      ...(ports.length > 0 && { machine: 'q35', rootPorts: ports }),
      ...connected,
      devices: behindPorts,
    } as PcOptions)
    machines.push(pc)
    hot.follow(pc)
    return pc
  }
  const site = (machine: MonitorSite['machine']): MonitorSite => ({
    ...{ machine, backEnds, devices: hot, snapshots, recording, migration, over: new Promise(() => {}) },
    tell: (text) => told.push(text),
    // Commands about a run are tested with a session.
    ...({} as Pick<MonitorSite, 'control' | 'leave' | 'power'>),
  })
  const run = (line: string, machine: MonitorSite['machine']): Promise<string> => runCommand(line, site(machine))
  const qmp = async (name: string, given: QmpArguments, machine: MonitorSite['machine']): Promise<unknown> =>
    QMP_COMMANDS[name]!(given, site(machine) as QmpSite)
  return { backEnds, make, run, qmp, told, hot }
}
