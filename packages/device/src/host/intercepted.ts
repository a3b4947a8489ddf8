type Method = (...given: unknown[]) => unknown

/** Wraps an object so that `intercept` makes the calls of its methods: `method(...given)`. */
export function intercepted<T extends object>(
  object: T,
  intercept: (method: Method, given: unknown[], name: PropertyKey) => unknown,
): T {
  // A proxy must not change frozen members of its target: use an object that inherits from it.
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
