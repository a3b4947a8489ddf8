import module from 'node:module'
import { join, resolve } from 'node:path'
import { cacheDirectory } from '@retrap/debian'
import { makeFolder } from '@retrap/linux-guest/host/files'

/**
 * Has Node keep its compiled code of this program, in `compiled` of the cache folder: later starts take less time. Node's
 * own folder for it would be one that all users of the host share. `NODE_COMPILE_CACHE` names another folder, and
 * `NODE_DISABLE_COMPILE_CACHE=1` has nothing kept.
 */
export function keepCompiled(): void {
  // Node 22.0 has no such cache.
  if (!('enableCompileCache' in module)) return
  if (module.getCompileCacheDir() !== undefined || (process.env['NODE_DISABLE_COMPILE_CACHE'] ?? '') !== '') return
  try {
    const folder = resolve(join(cacheDirectory(), 'compiled'))
    makeFolder(folder)
    module.enableCompileCache(folder)
  } catch {
    // Without the cache only the start is slower.
  }
}
