/**
 * The parts of the engine that builds of pages leave out: `MachineOptions` of `@retrap/web` keeps no compiled code. A page would
 * load them at each start, and never execute them.
 */
import type { Plugin } from 'rolldown'

/** Modules to replace, by the ends of their paths, with their replacements. Modules that only these import disappear as well. */
const MODULES: Readonly<Record<string, string>> = {
  'engine/src/jit/kept/code-format.ts':
    'export const CODE_FORMAT = 0\nexport const encodeCode = undefined\nexport const decodeCode = undefined',
}

/** For builds of pages from the sources of all packages. @throws Error at the end of the build for a module that was not found */
export function pageModules(): Plugin {
  const found = new Set<string>()
  return {
    name: 'retrap:page-modules',
    load(id) {
      const path = id.replaceAll('\\', '/')
      const module = Object.keys(MODULES).find((end) => path.endsWith(`packages/${end}`))
      if (module === undefined) return null
      found.add(module)
      return MODULES[module]!
    },
    buildEnd(error) {
      const missing = Object.keys(MODULES).filter((module) => !found.has(module))
      if (error === undefined && missing.length > 0)
        throw new Error(`modules that pages leave out do not exist: ${missing.join()}; correct the list MODULES`)
    },
  }
}
