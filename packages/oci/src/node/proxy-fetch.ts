/**
 * Requests through the proxies that the environment names. Node's `fetch` heeds them from version 24 on, and only where a variable
 * that was set before its start says so; Bun and Deno do by themselves.
 *
 * Source: RFC 9110, sections 7.2 and 9.3.6, "CONNECT".
 */
import { once } from 'node:events'
import * as http from 'node:http'
import * as https from 'node:https'
import { isIP, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import * as tls from 'node:tls'
import { isLoopback, type RegistryOptions } from './registry-client.ts'

/** The proxy for an address: of `https_proxy`, `http_proxy` and `no_proxy`, in small letters or capitals. */
export function proxyFor(url: URL, environment: NodeJS.ProcessEnv): URL | undefined {
  const variable = (name: string): string => environment[name] || environment[name.toUpperCase()] || ''
  const given = variable(url.protocol === 'https:' ? 'https_proxy' : 'http_proxy')
  const proxy = given === '' || given.includes('://') ? given : `http://${given}`
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  const isDirect = variable('no_proxy')
    .split(/[\s,]+/)
    .filter(Boolean)
    .some((entry) => {
      const [, name = '', only = port] = /^(?:\*?\.)?(.*?)(?::(\d+))?$/.exec(entry) ?? []
      return only === port && (entry === '*' || url.hostname === name || url.hostname.endsWith(`.${name}`))
    })
  return isDirect || isLoopback(url) || !URL.canParse(proxy) ? undefined : new URL(proxy)
}

/** Requests as `fetch`, by the proxies of the environment. Redirects are returned. */
export const proxyFetch =
  (environment: NodeJS.ProcessEnv = process.env, options: tls.ConnectionOptions = {}): RegistryOptions['fetch'] =>
  async (address, init) => {
    const url = new URL(address)
    const proxy = 'bun' in process.versions || 'deno' in process.versions ? undefined : proxyFor(url, environment)
    if (proxy === undefined) return fetch(address, init)
    const user = [proxy.username, proxy.password].map(decodeURIComponent).join(':')
    const login = user === ':' ? {} : { 'proxy-authorization': `Basic ${Buffer.from(user).toString('base64')}` }
    const { method = 'GET', signal, body } = init
    const given = init.headers as Readonly<Record<string, string>>
    const toProxy = (more: http.RequestOptions): http.ClientRequest =>
      (proxy.protocol === 'https:' ? https : http).request(proxy, { agent: false, signal, ...more })
    const request =
      url.protocol === 'http:'
        ? toProxy({ method, path: url.href, headers: { ...given, ...login, host: url.host } })
        : await tunnel(url, toProxy, login).then((socket) =>
            https.request(url, {
              ...{ method, headers: given, signal, agent: false },
              createConnection: () => tls.connect({ ...options, socket, host: url.hostname, servername: nameFor(url) }),
            }),
          )
    // Errors after the answer are the body's, too.
    request.on('error', () => {}).end(body)
    const [answer] = (await once(request, 'response')) as [http.IncomingMessage]
    const headers = Object.entries(answer.headersDistinct).flatMap(([name, values = []]) =>
      values.map((value): [string, string] => [name, value]),
    )
    return new Response(Readable.toWeb(answer) as ReadableStream, { status: answer.statusCode ?? 0, headers })
  }

/** The name that a server of TLS is asked for, of which an address is none. */
const nameFor = ({ hostname }: URL): string => (isIP(hostname.replaceAll(/[[\]]/g, '')) > 0 ? '' : hostname)

/** Has a proxy open a connection to a server. */
async function tunnel(
  { hostname, port }: URL,
  toProxy: (given: http.RequestOptions) => http.ClientRequest,
  login: Readonly<Record<string, string>>,
): Promise<Socket> {
  const path = `${hostname}:${port || 443}`
  const request = toProxy({ method: 'CONNECT', path, headers: { ...login, host: path } })
  request.on('error', () => {}).end()
  const [answer, socket] = (await once(request, 'connect')) as [http.IncomingMessage, Socket]
  if (answer.statusCode === 200) return socket
  socket.destroy()
  throw new Error(`the proxy answers with status ${answer.statusCode}`)
}
