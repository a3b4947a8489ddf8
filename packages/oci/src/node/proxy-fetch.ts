/**
 * Requests through the proxy that the environment names. Node's `fetch` heeds it from version 24 on, and only where a variable of
 * its own says so before it starts.
 *
 * Source: RFC 9110, section 9.3.6, "CONNECT".
 */
import { once } from 'node:events'
import * as http from 'node:http'
import * as https from 'node:https'
import { isIP, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import * as tls from 'node:tls'
import type { RegistryOptions } from './registry-client.ts'

/** The proxy for an address: that of `https_proxy`, unless `no_proxy` names the host. Plain HTTP goes to this host alone. */
export function proxyFor({ protocol, hostname, port }: URL, environment: NodeJS.ProcessEnv): URL | undefined {
  const variable = (name: string): string => environment[name] || environment[name.toUpperCase()] || ''
  const given = variable('https_proxy')
  const proxy = given.includes('://') ? given : `http://${given}`
  const isDirect = variable('no_proxy')
    .split(/[\s,]+/)
    .some((entry) => {
      const [, name = '', only = ''] = /^(?:\*?\.)?(.*?)(?::(\d+))?$/.exec(entry) ?? []
      const isThis = entry === '*' || (name !== '' && (hostname === name || hostname.endsWith(`.${name}`)))
      return isThis && (only === '' || only === (port || '443'))
    })
  return protocol !== 'https:' || isDirect || !URL.canParse(proxy) ? undefined : new URL(proxy)
}

/** Makes a `fetch` for requests without a body, or with a text, by the proxy of the environment. Redirects are returned. */
export const proxyFetch =
  (environment: NodeJS.ProcessEnv = process.env, options: tls.ConnectionOptions = {}): RegistryOptions['fetch'] =>
  async (address, init) => {
    const url = new URL(address)
    const proxy = proxyFor(url, environment)
    if (proxy === undefined) return fetch(address, init)
    const { method = 'GET', signal, body } = init
    const host = url.hostname.replaceAll(/[[\]]/g, '')
    const socket = await tunnel(proxy, `${url.hostname}:${url.port || 443}`, signal)
    const request = https.request(url, {
      method,
      signal,
      headers: init.headers as http.OutgoingHttpHeaders,
      createConnection: () => tls.connect({ ...options, socket, host, servername: isIP(host) > 0 ? '' : host }),
    })
    // Errors after the answer are the body's, too.
    request.on('error', () => {}).end(body)
    const [answer] = (await once(request, 'response')) as [http.IncomingMessage]
    const fields = Object.entries(answer.headers).map(([name, value]): [string, string] => [name, String(value)])
    return new Response(Readable.toWeb(answer) as ReadableStream, { status: answer.statusCode ?? 0, headers: fields })
  }

/** Has a proxy open a connection to a server. */
async function tunnel(proxy: URL, path: string, signal: AbortSignal): Promise<Socket> {
  const user = [proxy.username, proxy.password].map(decodeURIComponent).join(':')
  const login = user !== ':' && { 'proxy-authorization': `Basic ${Buffer.from(user).toString('base64')}` }
  const options = { method: 'CONNECT', path, agent: false, auth: '', signal, headers: { host: path, ...login } }
  const request = (proxy.protocol === 'https:' ? https : http).request(proxy, options)
  request.on('error', () => {}).end()
  const [answer, socket] = (await once(request, 'connect')) as [http.IncomingMessage, Socket]
  if (answer.statusCode === 200) return socket
  socket.destroy()
  throw new Error(`the proxy ${proxy.host} answers with status ${answer.statusCode}`)
}
