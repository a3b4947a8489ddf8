import { DeviceError, type DeviceModel } from '@retrap/device'
import { describeThrown, LONGEST_HOST_TIMER_MS } from '@retrap/device/host'

/** Whether a model keeps nothing that a snapshot must hold. */
function isStateless(model: DeviceModel): boolean {
  return model.stateless === true
}

/** Runs one step of a model's, and names the model where it fails or is late. A step that is done at once is not waited for. */
function step<T>(model: DeviceModel, what: string, deadlineMs: number, action: () => T | Promise<T>): T | Promise<T> {
  const refuse = (error: unknown): never => {
    if (error instanceof DeviceError && error.code === 'ERR_STATE') throw error
    throw new DeviceError('ERR_DEVICE', `${model.name}: ${what} failed: ${describeThrown(error)}`, { cause: error })
  }
  try {
    const result = action()
    return result instanceof Promise ? inTime(model.name, what, deadlineMs, result.catch(refuse)) : result
  } catch (error) {
    return refuse(error)
  }
}

/** @throws DeviceError `ERR_INVALID` for a deadline that is no number of milliseconds from 0 on */
export function checkTimeLimit(deadlineMs: number): void {
  if (!(typeof deadlineMs === 'number' && deadlineMs >= 0))
    throw new DeviceError('ERR_INVALID', `a deadline of ${String(deadlineMs)} ms: expected a number from 0 to Infinity`)
}

/**
 * Waits for a step that is under way, and no longer than allowed. A deadline that no timer of the host can hold never passes.
 *
 * @throws DeviceError `ERR_DEVICE`, naming the device or server and the step; the step's own error
 */
export async function inTime<T>(device: string, what: string, deadlineMs: number, step: Promise<T>): Promise<T> {
  let timer: unknown
  const late = new Promise<never>((_resolve, reject) => {
    if (deadlineMs > LONGEST_HOST_TIMER_MS) return
    const error = (): DeviceError =>
      new DeviceError('ERR_DEVICE', `${device}: ${what} took longer than ${deadlineMs} ms`)
    timer = setTimeout(() => reject(error()), deadlineMs)
  })
  try {
    return await Promise.race([step, late])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Takes a step of a model's, and waits for it no longer than allowed.
 *
 * @param action - returns undefined where there is nothing to wait for
 * @throws DeviceError `ERR_DEVICE`, naming the model and the step
 */
export async function withDeadline(
  device: string,
  what: string,
  deadlineMs: number,
  action: () => void | Promise<unknown>,
): Promise<void> {
  try {
    const done = action()
    if (done !== undefined) await inTime(device, what, deadlineMs, done)
  } catch (error) {
    if (error instanceof DeviceError) throw error
    throw new DeviceError('ERR_DEVICE', `${device}: ${what} failed: ${describeThrown(error)}`, { cause: error })
  }
}

/**
 * Saves models one after another.
 *
 * @param deadlineMs - host time that each may take
 * @throws DeviceError `ERR_STATE`, naming a model that cannot be saved, before any is; `ERR_DEVICE`, naming one that failed or
 *   was late
 */
export async function saveModels(models: readonly DeviceModel[], deadlineMs: number): Promise<Record<string, unknown>> {
  for (const model of models) {
    if (isStateless(model) || (model.save !== undefined && model.restore !== undefined)) continue
    throw new DeviceError(
      'ERR_STATE',
      `device model ${model.name} cannot be saved: expected save and restore, or stateless: true`,
    )
  }
  const states: Record<string, unknown> = {}
  for (const model of models) {
    if (isStateless(model)) continue
    const saved = step(model, 'save', deadlineMs, () => model.save?.())
    states[model.name] = saved instanceof Promise ? await saved : saved
  }
  return states
}

/**
 * Checks that a saved state and the models fit.
 *
 * @param deadlineMs - host time that each model may take to be restored
 * @returns restores the models
 * @throws DeviceError `ERR_NOT_FOUND`
 */
export function restoreModels(
  models: readonly DeviceModel[],
  states: Readonly<Record<string, unknown>>,
  deadlineMs: number,
): () => Promise<void> {
  const byName = new Map(models.map((model) => [model.name, model]))
  for (const name of Object.keys(states)) {
    if (byName.get(name)?.restore === undefined) {
      throw new DeviceError(
        'ERR_NOT_FOUND',
        `saved state names device ${name}, which is not attached or cannot restore`,
      )
    }
  }
  for (const model of models) {
    if (isStateless(model) || Object.hasOwn(states, model.name)) continue
    throw new DeviceError('ERR_NOT_FOUND', `saved state has nothing of device ${model.name}, which has a state`)
  }
  return async () => {
    for (const [name, saved] of Object.entries(states)) {
      const model = byName.get(name) as DeviceModel
      const restored = step(model, 'restore', deadlineMs, () => model.restore?.(saved))
      if (restored instanceof Promise) await restored
    }
  }
}

const BYTES = '$bytes'

/** Writes a model's state as JSON; `Uint8Array`s become objects with hexadecimal digits. */
export function stateToText(state: unknown): string {
  return JSON.stringify(state, (_key, value: unknown) =>
    value instanceof Uint8Array ? { [BYTES]: hexOf(value) } : value,
  )
}

/** Reads the text of {@link stateToText}. */
export function stateFromText(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown) => {
    const digits = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[BYTES] : undefined
    return typeof digits === 'string' ? bytesOf(digits) : value
  })
}

function hexOf(bytes: Uint8Array): string {
  let digits = ''
  for (const byte of bytes) digits += byte.toString(16).padStart(2, '0')
  return digits
}

function bytesOf(digits: string): Uint8Array {
  const bytes = new Uint8Array(digits.length >>> 1)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16)
  return bytes
}
