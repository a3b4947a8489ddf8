// Node 22.12 has no registerHooks: a name that a module lacks cannot be imported.
import * as nodeModule from 'node:module'
import { isMainThread, Worker } from 'node:worker_threads'
import type { DeviceModel } from '@retrap/device'
import { describeThrown } from '@retrap/device/host'
import type { DeviceServer } from '../index.ts'
import { IoreqError } from '@retrap/ioreq'

/** Time limit for loading a module, in milliseconds: its top level may wait for an event that never comes. */
export const MODULE_DEADLINE_MS = 10_000

/** Specifiers that every module gets from here: by the package's own name, or by the one that it has in `retrap`. */
const SHARED = /^@?retrap\/device(?=\/|$)/
let provided = false

/**
 * Gives every module that this thread imports from now on the one instance of `@retrap/device` that this package uses,
 * wherever the module's file lies and whether or not it has an installation of its own.
 */
export function provideDevicePackage(): void {
  if (provided) return
  provided = true
  const parentURL = import.meta.url
  if (typeof nodeModule.registerHooks === 'function') {
    nodeModule.registerHooks({
      resolve: (specifier, context, next) =>
        SHARED.test(specifier)
          ? next(specifier.replace(SHARED, '@retrap/device'), { ...context, parentURL })
          : next(specifier, context),
    })
    return
  }
  // Node before 22.15: hooks run in a thread of their own, and are a module of their own.
  const hooks = `
    const shared = ${String(SHARED)}
    export const resolve = (specifier, context, next) =>
      shared.test(specifier)
        ? next(specifier.replace(shared, '@retrap/device'), { ...context, parentURL: ${JSON.stringify(parentURL)} })
        : next(specifier, context)
  `
  nodeModule.register(`data:text/javascript,${encodeURIComponent(hooks)}`)
}

/**
 * Imports modules and returns the device models that they export, by whatever names. A module finds `@retrap/device`
 * wherever its file lies.
 *
 * @param urls - anything that `import` takes
 * @param deadlineMs - how long each may take; default 10 seconds
 * @throws IoreqError `ERR_NOT_FOUND` for a module without a model, `ERR_DEVICE` for one that throws or does not come to its end
 */
export async function importModels(
  urls: readonly string[],
  deadlineMs: number = MODULE_DEADLINE_MS,
): Promise<DeviceModel[]> {
  provideDevicePackage()
  const models: DeviceModel[] = []
  for (const url of urls) {
    const exported = Object.values((await within(deadlineMs, url)) as Record<string, unknown>)
    const found = [...new Set(exported)].filter(isModel)
    if (found.length === 0) {
      throw new IoreqError('ERR_NOT_FOUND', `${url} exports no device model: see defineDevice of @retrap/device`)
    }
    models.push(...found)
  }
  return models
}

async function within(deadlineMs: number, url: string): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const why = 'its top level still waits, or loops'
      reject(new IoreqError('ERR_DEVICE', `${url} has not been loaded within ${deadlineMs} ms: ${why}`))
    }, deadlineMs)
  })
  // A Worker can be ended by its parent.
  const unwatch = isMainThread ? interruptAfter(deadlineMs + INTERRUPT_MS) : undefined
  const loaded = import(url).catch((cause: unknown) => {
    throw new IoreqError('ERR_DEVICE', `${url} cannot be loaded: ${describeThrown(cause)}`, { cause })
  })
  try {
    return await Promise.race([loaded, late])
  } finally {
    unwatch?.()
    clearTimeout(timer)
  }
}

/** Milliseconds from its deadline to a top level's interruption: one that only waits has been reported by then. */
const INTERRUPT_MS = 100

/** The interrupter's program: it has V8 unwind the main thread, so that timers and signals come up. */
const INTERRUPTER = `
  const { Session } = require('node:inspector')
  const { workerData } = require('node:worker_threads')
  setTimeout(() => {
    if (Atomics.load(workerData.over, 0) !== 0) return
    const session = new Session()
    session.connectToMainThread()
    session.post('Runtime.terminateExecution', () => session.disconnect())
  }, workerData.ms)
`

/** Interrupts the main thread after a time, whatever it executes. @returns a function that calls it off */
function interruptAfter(ms: number): () => void {
  const over = new Int32Array(new SharedArrayBuffer(4))
  const interrupter = new Worker(INTERRUPTER, { eval: true, workerData: { over, ms }, execArgv: [], stdin: false })
  interrupter.unref()
  // A Node without an inspector.
  interrupter.on('error', () => {})
  return () => {
    Atomics.store(over, 0, 1)
    void interrupter.terminate()
  }
}

/**
 * Attaches the models of modules to a server, and offers their exports of `pluggable`: functions that make devices to be
 * plugged in while the machine runs, by name.
 */
export async function attachModules(server: DeviceServer, urls: readonly string[]): Promise<void> {
  for (const model of await importModels(urls)) server.attach(model)
  for (const url of urls) {
    const { pluggable = {} } = (await import(url)) as { readonly pluggable?: Record<string, () => DeviceModel> }
    for (const [name, make] of Object.entries(pluggable)) server.offer(name, make)
  }
}

function isModel(value: unknown): value is DeviceModel {
  if (typeof value !== 'object' || value === null) return false
  const { name, attach } = value as { name?: unknown; attach?: unknown }
  return typeof name === 'string' && typeof attach === 'function'
}
