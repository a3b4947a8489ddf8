import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { behindPort, type DeviceModel } from '@retrap/device'
import { importModels, startDeviceProcess, startDeviceWorker } from '@retrap/device-hosting/node'
import type { BoardServerOptions, StartControllerServer, StartDeviceServer, StartPartServer } from '@retrap/machine'
import type { ArmBoardServerOptions } from '@retrap/machine/arm'
import { CliError } from '@retrap/linux-guest/errors'
import { usage, type DeviceArgument } from '../../options/values.ts'
import { namesProgram } from './device-programs.ts'
import { placeOf } from './pci-devices.ts'
import { watchMainThread } from './stuck-watch.ts'

/** Places where the models of a `--device FILE` run. */
const TRANSPORTS = ['inline', 'worker', 'process'] as const
type Transport = (typeof TRANSPORTS)[number]
export const MODULE_PROPERTIES: readonly string[] = ['transport', 'bus', 'id']

/** Milliseconds that a module may take to load, beyond the end of the run: the end of the run is reported, not the module's. */
const MODULE_MS = 10_000
const BEHIND_RUN_MS = 50

/** A `--device` that is a module with device models of the user's own. */
export interface DeviceModule {
  /** Loads the models for this process, anew each time. @param leftMs - the run's time that is left */
  readonly models?: (leftMs: number) => Promise<readonly DeviceModel[]>
  /** The root port that the devices are behind; undefined: the devices choose their places. */
  readonly port: string | undefined
  /** Starts the server that runs the models in another thread or process. */
  readonly server?: StartDeviceServer
}

/**
 * Returns the line that lets an editor check the types of a device module without an installation of its own: the whole of
 * a `tsconfig.json` beside it.
 */
export function moduleTypesLine(): string {
  const config = fileURLToPath(import.meta.resolve('@retrap/device/tsconfig.user.json'))
  return `{ "extends": ${JSON.stringify(config)} }`
}

/** Whether a `--device` names a module, not one of our devices. */
export function namesModule(name: string): boolean {
  return /[/\\]|\.[cm]?[jt]s$/.test(name) && !namesProgram(name)
}

/** Whether a `--device` is a module behind a root port. */
export function isModuleBehindPort(argument: DeviceArgument): boolean {
  return namesModule(argument.name) && placeOf(argument).port !== undefined
}

/** Whether a `--device` is to run in a Worker. */
export function runsInWorker({ name, properties }: DeviceArgument): boolean {
  return namesModule(name) && properties.get('transport') === 'worker'
}

/** Number of times that each address's module was loaded. Node caches modules; each machine needs its own devices. */
const loads = new Map<string, number>()

async function loadModels(url: string, leftMs: number): Promise<DeviceModel[]> {
  watchMainThread()
  const before = loads.get(url) ?? 0
  loads.set(url, before + 1)
  return importModels([before === 0 ? url : `${url}?machine=${before}`], Math.min(leftMs + BEHIND_RUN_MS, MODULE_MS))
}

/**
 * Checks a `--device FILE,transport=…`.
 *
 * @throws CliError `ERR_USAGE` or `ERR_INPUT`
 */
export function prepareModule(argument: DeviceArgument): DeviceModule {
  const { name, properties } = argument
  for (const key of properties.keys()) {
    if (!MODULE_PROPERTIES.includes(key))
      throw usage(`--device ${name} has no '${key}'; it has ${MODULE_PROPERTIES.join(', ')}`)
  }
  const { port } = placeOf(argument)
  const transport = properties.get('transport') ?? 'inline'
  if (!isTransport(transport)) {
    throw usage(`--device ${name}: transport=${transport} is unknown; there are ${TRANSPORTS.join(', ')}`)
  }
  if (port !== undefined && transport !== 'inline')
    throw usage(
      `--device ${name}: behind root port '${port}' it runs in this process: leave transport=${transport} out`,
    )
  if (statSync(name, { throwIfNoEntry: false })?.isFile() !== true) {
    throw new CliError('ERR_INPUT', `--device ${name}: there is no such file`)
  }
  const url = pathToFileURL(resolve(name)).href
  const modules = [url]
  switch (transport) {
    case 'inline':
      return {
        port,
        models: async (leftMs) => {
          const models = await loadModels(url, leftMs)
          return port === undefined ? models : models.map((model) => behindPort(model, port))
        },
      }
    case 'worker':
      return {
        port,
        server: (dispatch, platform, realTime) =>
          startDeviceWorker(dispatch, platform, {
            mayOverlap: false,
            name,
            modules,
            realTime,
            program: program('module-worker'),
            data: platform.sharedMemory,
          }),
      }
    case 'process':
      return {
        port,
        server: (dispatch, platform, realTime) =>
          startDeviceProcess(dispatch, platform, { name, modules, realTime, mayOverlap: false }),
      }
  }
}

function isTransport(text: string): text is Transport {
  return (TRANSPORTS as readonly string[]).includes(text)
}

/** Time for a Worker of ours to start. It reports a failure by itself; a Worker that is late is on a busy host. */
const OWN_READY_MS = 300_000

/** Runs a board's models in a Worker, of a PC or an Arm board. */
export const startBoardWorker: StartPartServer<BoardServerOptions | ArmBoardServerOptions> = (
  dispatch,
  platform,
  { name, realTime, board, onMessage },
) =>
  startDeviceWorker(dispatch, platform, {
    name,
    realTime,
    onMessage,
    modules: [],
    readyMs: OWN_READY_MS,
    program: program('board-worker'),
    data: board,
  })

/** Runs controllers of disks and networks in a Worker. */
export const startControllerWorker: StartControllerServer = (dispatch, platform, options) =>
  startDeviceWorker(dispatch, platform, {
    name: options.name,
    realTime: options.realTime,
    onMessage: options.onMessage,
    modules: [],
    readyMs: OWN_READY_MS,
    program: program('controllers-worker'),
    data: { controllers: options.controllers, guest: platform.sharedMemory },
  })

/** Returns the URL of one of retrap's programs: in `src` if this module runs as source, otherwise beside the build. */
function program(name: string): URL {
  return new URL(import.meta.url.endsWith('.ts') ? `../../${name}.ts` : `./${name}.js`, import.meta.url)
}
