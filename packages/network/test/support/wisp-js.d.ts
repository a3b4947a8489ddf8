// The part of wisp-js, which has no declarations, that tests use.
declare module '@mercuryworkshop/wisp-js/server' {
  import type { IncomingMessage } from 'node:http'
  import type { Duplex } from 'node:stream'

  export const server: {
    readonly options: {
      allow_loopback_ips: boolean
      allow_private_ips: boolean
      dns_method: (name: string) => Promise<string>
    }
    routeRequest(request: IncomingMessage, socket: Duplex, head: Buffer): void
  }
  export const logging: { readonly NONE: number; set_level(level: number): void }
}
