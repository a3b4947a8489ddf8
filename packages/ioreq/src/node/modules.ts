import type { DeviceModel } from '@retrap/device'
import type { DeviceServer } from '../index.ts'
import { IoreqError } from '../errors.ts'

/**
 * Imports modules and returns the device models that they export, by whatever names.
 *
 * @param urls - anything that `import` takes
 * @throws IoreqError `ERR_NOT_FOUND` for a module without a model
 */
export async function importModels(urls: readonly string[]): Promise<DeviceModel[]> {
  const models: DeviceModel[] = []
  for (const url of urls) {
    const exported = Object.values((await import(url)) as Record<string, unknown>)
    const found = [...new Set(exported)].filter(isModel)
    if (found.length === 0) {
      throw new IoreqError('ERR_NOT_FOUND', `${url} exports no device model: see defineDevice of @retrap/device`)
    }
    models.push(...found)
  }
  return models
}

/** Attaches the models of modules to a server. */
export async function attachModules(server: DeviceServer, urls: readonly string[]): Promise<void> {
  for (const model of await importModels(urls)) server.attach(model)
}

function isModel(value: unknown): value is DeviceModel {
  if (typeof value !== 'object' || value === null) return false
  const { name, attach } = value as { name?: unknown; attach?: unknown }
  return typeof name === 'string' && typeof attach === 'function'
}
