// The program of the Worker in which the playground's devices run, in a document that shares nothing with the page. The user's
// code stands before it, as a function: lines of that are lines of the user's.
import * as device from '@retrap/device'
import { serveMessages } from '@retrap/device-hosting'
import type { Report } from './report.ts'

type Code = (require: (name: string) => unknown, exports: Record<string, unknown>) => void

const world = globalThis as unknown as { readonly retrapDevices: Code }
/** Handlers that a definition and its ranges have. */
const HANDLERS = ['read', 'write', 'read64', 'write64'] as const

addEventListener('message', ({ ports }: MessageEvent) => void serve(ports[0]!, ports[1]!), { once: true })

async function serve(devices: MessagePort, reports: MessagePort): Promise<void> {
  const tell = (report: Report): void => reports.postMessage(report)
  const failed = (error: unknown): void => tell({ kind: 'error', ...describe(error) })
  for (const name of ['log', 'info', 'warn', 'error'] as const)
    console[name] = (...values: unknown[]) => tell({ kind: 'log', text: values.map(String).join(' ') })
  addEventListener('unhandledrejection', ({ reason }) => failed(reason))
  try {
    const exports: Record<string, unknown> = {}
    world.retrapDevices(requireFor(failed), exports)
    const models = [...new Set(Object.values(exports))].filter(isModel)
    if (models.length === 0) throw new Error('no device is exported: write export const mine = defineDevice({ … })')
    let problem: unknown
    await serveMessages(devices, (server) => {
      try {
        for (const model of models) server.attach(model)
      } catch (error) {
        problem = error
      }
    })
    if (problem !== undefined) throw problem
    tell({ kind: 'attached', names: models.map(({ name }) => name) })
  } catch (error) {
    failed(error)
  }
}

const isModel = (value: unknown): value is device.DeviceModel =>
  typeof value === 'object' && value !== null && 'attach' in value && typeof value.attach === 'function'

/** Returns the modules that the user's code may import. */
function requireFor(failed: (error: unknown) => void): (name: string) => unknown {
  const library = { ...device, defineDevice: (definition: unknown) => device.defineDevice(watched(definition, failed)) }
  return (name) => {
    if (name === '@retrap/device') return library
    throw new Error(`'${name}' cannot be imported here: there is '@retrap/device' alone`)
  }
}

/** Wraps the handlers of a definition, so that they report exceptions with line numbers. */
function watched(definition: unknown, failed: (error: unknown) => void): device.DeviceDefinition {
  const given = definition as device.DeviceDefinition
  if (typeof definition !== 'object' || definition === null) return given
  const ranges = (of: unknown): never =>
    (Array.isArray(of)
      ? of.map((range: object) => watchHandlers(range, failed))
      : watchHandlers(of as object, failed)) as never
  return {
    ...watchHandlers(given, failed),
    ...(given.mmio !== undefined && { mmio: ranges(given.mmio) }),
    ...(given.ports !== undefined && { ports: ranges(given.ports) }),
  }
}

function watchHandlers<T extends object>(of: T, failed: (error: unknown) => void): T {
  const copy = { ...of } as T & Partial<Record<string, unknown>>
  for (const name of HANDLERS) {
    const handler = (of as Partial<Record<string, unknown>>)[name]
    if (typeof handler !== 'function') continue
    const watchedHandler = (...values: unknown[]): unknown => {
      const caught = (error: unknown): never => {
        failed(error)
        throw error
      }
      try {
        const result: unknown = Reflect.apply(handler, of, values)
        return result instanceof Promise ? result.catch(caught) : result
      } catch (error) {
        return caught(error)
      }
    }
    Object.assign(copy, { [name]: watchedHandler })
  }
  return copy
}

/** An error's words, and the line of the user's code that it comes from. */
function describe(error: unknown): { readonly message: string; readonly line: number | null } {
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  const length = String(world.retrapDevices).split('\n').length
  const lines = [...(error instanceof Error ? (error.stack ?? '') : '').matchAll(/retrap-devices\.js:(\d+):\d+/g)]
  return { message, line: lines.map(([, line]) => Number(line)).find((line) => line < length) ?? null }
}
