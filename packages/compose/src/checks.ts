// The services that run, and whether they fit together.
import type { ComposeErrorCode } from './errors.ts'
import type { ComposeProject, ComposeService } from './model.ts'

/** Throws an error at the place of a key. */
export type Fail = (key: string, reason: string, code?: ComposeErrorCode) => never

/** Finds the services that do not run. @returns reasons by name */
export function leftOutOf(
  services: ReadonlyMap<string, ComposeService>,
  profiles: readonly string[],
  only: readonly string[] | undefined,
  fail: Fail,
): Map<string, string> {
  const runs = new Set<string>()
  const add = (name: string): void => {
    const service = services.get(name)
    if (service === undefined || runs.has(name)) return
    runs.add(name)
    for (const other of neededBy(service)) add(other)
  }
  for (const name of only ?? []) {
    if (!services.has(name)) fail('services', `there is no service ${name}`)
    add(name)
  }
  const leftOut = new Map<string, string>()
  for (const [name, { profiles: own = [] }] of services) {
    const isOn = own.length === 0 || own.some((one) => profiles.includes(one) || profiles.includes('*'))
    if (only === undefined ? isOn : runs.has(name)) continue
    const reason = isOn ? 'no service that was asked for needs it' : `its profiles are not enabled: ${own.join(', ')}`
    leftOut.set(name, reason)
  }
  for (const [name, { dependsOn }] of services)
    for (const [other, { required }] of (leftOut.has(name) ? undefined : dependsOn) ?? []) {
      if (!required || (services.has(other) && !leftOut.has(other))) continue
      const key = `services.${name}.depends_on.${other}`
      if (services.has(other)) fail(key, `${other} is left out: ${leftOut.get(other)}`)
      fail(key, `there is no service ${other}`)
    }
  return leftOut
}

/** Names of the services that a service needs. */
function neededBy({ dependsOn, networkMode = '' }: ComposeService): string[] {
  return [...(dependsOn?.keys() ?? []), ...(networkMode.startsWith('service:') ? [networkMode.slice(8)] : [])]
}

/** Checks that names exist, that no services wait for each other, and that addresses fit. */
export function checkProject({ services, networks, ...others }: ComposeProject, fail: Fail): void {
  for (const [name, { image, build, networkMode = '', volumes, secrets, configs, ...service }] of services) {
    const shared = /^service:(.*)/.exec(networkMode)?.[1]
    const at = `services.${name}`
    if (shared !== undefined && !services.has(shared)) fail(`${at}.network_mode`, `there is no service ${shared}`)
    if (image === undefined && build === undefined)
      fail(at, 'the service has neither an image nor a build', 'ERR_VALUE')
    if (networkMode !== '' && service.networks.size > 0)
      fail(at, 'both network_mode and networks are given', 'ERR_VALUE')
    const used = { volumes: volumes.filter(({ type }) => type === 'volume'), secrets, configs }
    for (const kind of ['volumes', 'secrets', 'configs'] as const)
      for (const { source } of used[kind])
        if (source !== undefined && !others[kind].has(source)) fail(`${at}.${kind}`, `there is no ${source} in ${kind}`)
  }
  for (const [network, { subnets }] of networks)
    for (const { subnet } of subnets)
      if (prefixOf(subnet) === undefined)
        fail(`networks.${network}.ipam`, `"${subnet}" is not a subnet, such as 10.0.0.0/24`, 'ERR_ADDRESS')
  checkAddresses(services, networks, fail)
  checkCycles(services, fail)
}

function checkAddresses(services: ComposeProject['services'], networks: ComposeProject['networks'], fail: Fail): void {
  const taken = new Map<string, string>()
  for (const [name, service] of services)
    for (const [network, { ipv4Address, ipv6Address }] of service.networks) {
      const key = `services.${name}.networks.${network}`
      const { subnets, external } = networks.get(network) ?? fail(key, `there is no network ${network}`)
      for (const [given, length] of [
        [ipv4Address, 32],
        [ipv6Address, 128],
      ] as const) {
        if (given === undefined) continue
        const bits = bitsOf(given)
        if (bits?.length !== length) return fail(key, `"${given}" is not an address of this kind`, 'ERR_ADDRESS')
        const isInside = subnets.some(({ subnet }) => prefixOf(subnet)?.test(bits))
        if (!isInside && !external) fail(key, `${given} is in no subnet of the network`, 'ERR_ADDRESS')
        const holder = service.scale > 1 ? `each of its ${service.scale} containers` : taken.get(`${network} ${bits}`)
        if (holder !== undefined) fail(key, `${given} is also the address of ${holder}`, 'ERR_ADDRESS')
        taken.set(`${network} ${bits}`, name)
      }
    }
}

/** The bits of an address as text, 32 or 128; undefined for other texts. */
function bitsOf(given: string): string | undefined {
  const isIpv6 = given.includes(':')
  const [digits, radix, width] = isIpv6 ? ([/^[\da-f]{1,4}$/i, 16, 16] as const) : ([/^\d{1,3}$/, 10, 8] as const)
  // `::` stands for the zeros that are missing.
  const [before = [], after, ...rest] = given
    .split('::')
    .map((side) => (side === '' ? [] : side.split(isIpv6 ? ':' : '.')))
  const zeros = (isIpv6 ? 8 : 4) - before.length - (after?.length ?? 0)
  if (rest.length > 0 || (after === undefined ? zeros !== 0 : zeros < 1)) return undefined
  const parts = [...before, ...new Array<string>(zeros).fill('0'), ...(after ?? [])]
  const bits = parts.map((part) =>
    digits.test(part) ? Number.parseInt(part, radix).toString(2).padStart(width, '0') : '',
  )
  return bits.every((part) => part.length === width) ? bits.join('') : undefined
}

/** Matches the bits of the addresses in a subnet. */
function prefixOf(subnet: string): RegExp | undefined {
  const [, address = '', length = ''] = /^(.*)\/(\d{1,3})$/.exec(subnet) ?? []
  const bits = bitsOf(address)
  if (bits === undefined || Number(length) > bits.length) return undefined
  return new RegExp(`^${bits.slice(0, Number(length))}.{${bits.length - Number(length)}}$`)
}

function checkCycles(services: ReadonlyMap<string, ComposeService>, fail: Fail): void {
  const done = new Set<string>()
  const visit = (name: string, chain: readonly string[]): void => {
    const cycle = [...chain.slice(chain.indexOf(name)), name].join(', ')
    if (chain.includes(name)) fail(`services.${name}.depends_on`, `services wait for each other: ${cycle}`, 'ERR_CYCLE')
    for (const other of done.has(name) ? [] : neededBy(services.get(name) as ComposeService))
      visit(other, [...chain, name])
    done.add(name)
  }
  for (const name of services.keys()) visit(name, [])
}
