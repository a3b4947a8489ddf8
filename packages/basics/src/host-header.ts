/** Name or address, and port. Source: RFC 9110, section 7.2, "Host and :authority"; RFC 3986, section 3.2.2, "Host". */
const HOST = /^(\[[0-9a-f:.]+\]|[^[\]:/?#@\s]+)(?::\d*)?$/i
const ADDRESS = /^(?:\[.*\]|\d{1,3}(?:\.\d{1,3}){3})$/
const LOCAL = /^(?:.+\.)?localhost\.?$/

/**
 * Returns whether a request to a server of this machine names it: by an address, by `localhost`, or by one of `names`.
 *
 * A page of another site can have its own name lead to this machine (DNS rebinding). The browser then lets the page read the
 * server's answers, since page and server have one origin. Such a request has that name in its `Host` field; its status is 421.
 *
 * @param host - the `Host` field
 * @param names - further names, in lower case
 */
export function namesServer(host: string | undefined, names: readonly string[] = []): boolean {
  const name = HOST.exec(host ?? '')?.[1]?.toLowerCase()
  return name !== undefined && (ADDRESS.test(name) || LOCAL.test(name) || names.includes(name))
}
