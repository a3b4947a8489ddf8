import type { DeviceContext, DeviceModel } from '@retrap/device'
import { intercepted, isPromise } from '@retrap/device/host'

declare const console: { warn(text: string): void }

/** Names of the models that have been warned about: a machine may be made many times. */
const told = new Set<string>()

/**
 * Has models of the caller's watched on deterministic time: an act of a model outside of the machine's calls is a warning,
 * once. A model that says `deterministic: false` is known to bring something from the host.
 *
 * @returns the models to attach
 */
export function watchModels(
  models: readonly DeviceModel[],
  own: readonly DeviceModel[],
  domain: { readonly hostHasTurn: boolean },
): readonly DeviceModel[] {
  return models.map((model) => (own.includes(model) && model.deterministic !== false ? watched(model, domain) : model))
}

function watched(model: DeviceModel, domain: { readonly hostHasTurn: boolean }): DeviceModel {
  /** Number of method calls in progress: a caller's program may call at any time, for example `unplug`. */
  let asked = 0
  const guarded = <T extends object>(object: T): T =>
    intercepted(object, (method, given) => {
      if (asked === 0 && domain.hostHasTurn && !told.has(model.name)) {
        told.add(model.name)
        console.warn(
          `device model '${model.name}' has acted from a timer or promise of the host's, at another instant in each run: ` +
            'on deterministic time it answers by LateAnswers of @retrap/device, or acts in a timer of context.timer; ' +
            'a model that brings something from the host says deterministic: false',
        )
      }
      return method(...given)
    })
  const guardedContext = (context: DeviceContext): DeviceContext => ({
    ...context,
    dma: guarded(context.dma),
    interruptLine: (irq) => guarded(context.interruptLine(irq)),
    timer: (callback) => guarded(context.timer(callback)),
    signalMsi: (...message) => guarded(context).signalMsi(...message),
    pci: {
      ...context.pci,
      add(options) {
        const fn = context.pci.add(options)
        const { interrupt, messages } = fn
        return Object.assign(fn, {
          interrupt: interrupt && guarded(interrupt),
          messages: messages && guarded(messages),
        })
      },
    },
  })
  return intercepted(model, (method, given, name) => {
    const ended = (): number => --asked
    asked++
    let result: unknown
    try {
      result = name === 'attach' ? method(guardedContext(given[0] as DeviceContext)) : method(...given)
    } finally {
      if (isPromise(result)) result.then(ended, ended)
      else ended()
    }
    return result
  })
}
