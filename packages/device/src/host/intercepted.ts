type Method = (...given: unknown[]) => unknown

/** Returns an object that is another one, but for `intercept`, which makes the calls of its methods: `method(...given)`. */
export function intercepted<T extends object>(
  object: T,
  intercept: (method: Method, given: unknown[], name: PropertyKey) => unknown,
): T {
  // A proxy may not answer for another's frozen members: it stands before an object that inherits them.
  return new Proxy(Object.create(object) as T, {
    get(_, name) {
      const value: unknown = Reflect.get(object, name)
      // Called on the object itself: classes may have private members.
      return typeof value === 'function'
        ? (...given: unknown[]) => intercept(value.bind(object) as Method, given, name)
        : value
    },
  })
}
