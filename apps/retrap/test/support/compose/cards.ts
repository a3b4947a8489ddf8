// The places of the card: in the machine, or elsewhere over each kind of connection.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as host from '@retrap/device-hosting/node'
import type { PcOptions, StartDeviceServer } from '@retrap/machine'
import { authority, devices, machine } from '@retrap/tooling/certificates'
import { newCard } from './card.ts'

/** Options of every connection to it. */
const FAR = {
  name: 'adder',
  modules: [new URL('./card.ts', import.meta.url).href],
  // The host may be busy.
  readyMs: 300_000,
}
const MOST_MACHINES = 1000

/** Ends what serves cards. */
export const closeCards = async (): Promise<void> => {
  for (const close of closing.splice(0)) await close()
}
const closing: (() => unknown)[] = []

/** Machines connect to one service, as to one on another host. */
function connected(listen: () => host.ListenOptions, tls?: host.DialOptions['tls']): StartDeviceServer {
  let service: ReturnType<typeof host.serveDevices> | undefined
  return async (dispatch, platform, realTime) => {
    if (service === undefined) {
      service = host.serveDevices({ ...listen(), maxMachines: MOST_MACHINES }, (server) => server.attach(newCard()))
      const begun = service
      closing.push(async () => (await begun).close())
    }
    const found = await service
    return host.connectDeviceServer(dispatch, platform, {
      ...FAR,
      realTime,
      address: found.address,
      ...(tls && { tls }),
    })
  }
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-cards-'))
  closing.push(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const fileOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** The command of the card as a device program in Python. */
function command(): string {
  // `python3` may be a script that looks for it, and programs start sooner where Python keeps what it has compiled.
  const python = execFileSync('python3', ['-c', 'import sys; print(sys.executable)']).toString().trim()
  const sdk = fileOf('../../../../../packages/device-hosting/sdk/python')
  return `PYTHONPATH='${sdk}' PYTHONPYCACHEPREFIX='${newFolder()}' exec '${python}' -S '${fileOf('card.py')}'`
}
let known: string | undefined

/** A program for each machine, as of `--device exec:`. */
const program: StartDeviceServer = (dispatch, platform, realTime) => {
  known ??= command()
  const { name, readyMs } = FAR
  // What it says is why it has failed.
  const onOutput = (bytes: Uint8Array): void => void process.stderr.write(bytes)
  return host.startDeviceProgram(dispatch, platform, { name, readyMs, realTime, command: known, onOutput })
}

/** Where the card is; `program`: it is one that speaks the device protocol. */
export type CardPlace = 'none' | 'here' | 'Unix socket' | 'TLS' | 'Worker' | 'process' | 'program'

const SERVERS: Readonly<Record<Exclude<CardPlace, 'none' | 'here'>, StartDeviceServer>> = {
  'Unix socket': connected(() => ({ address: { path: join(newFolder(), 'socket') } })),
  TLS: connected(() => ({ address: { port: 0 }, tls: { ...devices, ca: authority } }), { ...machine, ca: authority }),
  Worker: (dispatch, platform, realTime) => host.startDeviceWorker(dispatch, platform, { ...FAR, realTime }),
  process: (dispatch, platform, realTime) => host.startDeviceProcess(dispatch, platform, { ...FAR, realTime }),
  program,
}

/** The options of a machine with a card. */
export function cardAt(place: CardPlace, arm: boolean): Pick<PcOptions, 'devices' | 'deviceServers' | 'sharedMemory'> {
  if (place === 'none') return {}
  if (place === 'here') return { devices: [newCard()] }
  return { deviceServers: [SERVERS[place]], ...(place === 'Worker' && !arm && { sharedMemory: true }) }
}
