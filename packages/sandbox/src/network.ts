import { UserNetwork } from '@retrap/network'
import { nodeSockets } from '@retrap/network/node'
import { SandboxError } from './errors.ts'

type Sockets = ReturnType<typeof nodeSockets>

const NAME = /^(?:\*\.)?[a-z\d_](?:[a-z\d_.-]*[a-z\d])?$/i

/**
 * The host's network as far as it has these names: nothing else is looked up, and TCP connections lead only to addresses that a look-up
 * has given. There is no UDP, and nothing listens.
 *
 * @param names - `example.org`, or `*.example.org` for all below it
 * @throws SandboxError `ERR_SANDBOX_OPTION`
 */
export function namedSockets(names: readonly string[], sockets: Sockets = nodeSockets()): Sockets {
  const wrong = names.find((name) => !NAME.test(name))
  if (wrong !== undefined)
    throw new SandboxError(
      'ERR_SANDBOX_OPTION',
      `network: ${wrong}: expected a name such as example.org or *.example.org`,
    )
  const wanted = names.map((name) => name.toLowerCase())
  const isNamed = (name: string): boolean =>
    wanted.some((one) => (one.startsWith('*.') ? name.endsWith(one.slice(1)) : name === one))
  const known = new Set<string>()
  return {
    ...sockets,
    async lookup(given) {
      if (!isNamed(given.toLowerCase().replace(/\.$/, ''))) return null
      const addresses = await sockets.lookup(given)
      for (const address of addresses ?? []) known.add(address)
      return addresses
    },
    query: undefined as never,
    connectTcp(to, client) {
      if (known.has(to.address)) return sockets.connectTcp(to, client)
      queueMicrotask(() => client.closed('refused'))
      return { write: () => true, end() {}, abort() {}, pause() {}, resume() {} }
    },
    openUdp: () => ({ send() {}, close() {} }),
  }
}

/** Opens the network of a sandbox that reaches these names alone. */
export const openNetwork = (names: readonly string[]): Promise<UserNetwork> =>
  UserNetwork.open({ sockets: namedSockets(names), hostLoopback: false })
