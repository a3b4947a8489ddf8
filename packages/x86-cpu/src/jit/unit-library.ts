import type { TableCallee } from '@retrap/engine'
import type { FunctionBuilder, ModuleBuilder, ValueType } from '@retrap/wasm-emitter'
import type { Library } from '../semantics/library.ts'

/** Imports what semantics call, from the interpreter's module. */
export function importLibrary(
  module: ModuleBuilder,
  sharedEntries: ReadonlyMap<string, number>,
  { vectorBytes, isPrivate }: Pick<Library, 'vectorBytes' | 'isPrivate'>,
): Library {
  const flags = module.importFunction('cpu', 'flags', {
    params: ['i32', 'i64', 'i64', 'i64'],
    result: 'i32',
  } as const)
  const checkSegment = module.importFunction('cpu', 'checkSegment', {
    params: ['i32', 'i32', 'i64', 'i32'],
    result: 'i64',
  } as const)
  const slowAccess = module.importFunction('cpu', 'slowAccess', {
    params: ['i32', 'i32', 'i32', 'i32'],
    result: 'i32',
  } as const)
  const absent = (name: string): never => {
    throw new TypeError(`${name} is not called by a region`)
  }
  return {
    vectorBytes,
    isPrivate,
    flags,
    checkSegment,
    slowAccess,
    get offset() {
      return absent('offset')
    },
    get slowAddress() {
      return absent('slowAddress')
    },
    get checkedAddress() {
      return absent('checkedAddress')
    },
    get slowAddressMoved() {
      return absent('slowAddressMoved')
    },
    get timestamp() {
      return absent('timestamp')
    },
    shared: new Map(),
    define: (name: string, params: readonly ValueType[], result: ValueType | undefined): FunctionBuilder => {
      const entry = sharedEntries.get(name)
      if (entry === undefined) throw new TypeError(`no shared function ${name}`)
      const signature = { params, result }
      const callee: TableCallee = { index: 0, signature, entry, typeIndex: module.typeIndex(signature) }
      return callee as unknown as FunctionBuilder
    },
    complete: () => undefined,
  }
}
