import { Session } from 'node:inspector'

/**
 * Finds objects of this process: the heap's own list, as nobody but V8's inspector sees private fields and closures. What
 * nothing refers to is collected first.
 */
export function objectsWith<T extends object>(isOne: (object: Partial<T>) => boolean): T[] {
  const session = new Session()
  session.connect()
  // It answers within the call.
  const ask = (method: string, parameters: object): Record<string, { readonly objectId?: string }> => {
    let answer: object | undefined
    session.post(method, parameters, (error, given) => {
      if (error !== null) throw error
      answer = given
    })
    return answer as ReturnType<typeof ask>
  }
  const found: T[] = []
  Reflect.set(globalThis, 'takeObjects', (all: readonly Partial<T>[]) => {
    for (const each of all) if (holds(each)) found.push(each as T)
  })
  const holds = (object: Partial<T>): boolean => {
    try {
      // What stands in for a model that is watched has the model as its prototype, and none of its private fields.
      const isInstance = Object.hasOwn(Object.getPrototypeOf(object) as object, 'constructor')
      return isInstance && !Object.hasOwn(object, 'constructor') && isOne(object)
    } catch {
      // A getter of another module's object throws.
      return false
    }
  }
  try {
    const prototype = ask('Runtime.evaluate', { expression: 'Object.prototype' })['result']!.objectId
    const objects = ask('Runtime.queryObjects', { prototypeObjectId: prototype })['objects']!.objectId
    ask('Runtime.callFunctionOn', { objectId: objects, functionDeclaration: 'function () { takeObjects(this) }' })
    return found
  } finally {
    Reflect.deleteProperty(globalThis, 'takeObjects')
    session.disconnect()
  }
}
