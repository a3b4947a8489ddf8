/** A frame, decoded as far as its layers are known. */
export interface DecodedFrame {
  /** The innermost layer: `TCP`, `UDP`, `ICMP`, `ICMPv6`, `ARP`, `IPv4`, `IPv6` or `Ethernet`. */
  readonly protocol: string
  /** A line for people. */
  readonly text: string
  /** Of TCP and UDP: that of the sender, and that of the receiver. */
  readonly ports?: readonly [number, number]
  /** The bytes that the innermost layer carries. */
  readonly payload: Uint8Array
}

const ETHERNET_HEADER = 14
const TYPE_VLAN = 0x8100
const TCP_HEADER = 20
const UDP_HEADER = 8
const TCP_FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR']

/** Sources: RFC 792; RFC 4443, RFC 4861 and RFC 3810 for IPv6. */
const ICMP: Readonly<Record<number, string>> = {
  ...{ 0: 'echo reply', 3: 'unreachable', 5: 'redirect', 8: 'echo request', 11: 'time exceeded' },
}
const ICMPV6: Readonly<Record<number, string>> = {
  ...{ 1: 'unreachable', 2: 'packet too big', 3: 'time exceeded', 128: 'echo request', 129: 'echo reply' },
  ...{ 133: 'router solicitation', 134: 'router advertisement', 135: 'neighbour solicitation' },
  ...{ 136: 'neighbour advertisement', 143: 'multicast listener report' },
}
/** Headers of IPv6 between its own and what it carries, but for the fragment's. Source: RFC 8200, "IPv6 Extension Headers". */
const EXTENSIONS: readonly number[] = [0, 43, 60]
const FRAGMENT = 44

/**
 * Decodes an Ethernet frame: ARP, IPv4, IPv6, ICMP, TCP and UDP. Checksums are not looked at: a frame with a wrong bit is shown as
 * it came.
 */
export function decodeFrame(frame: Uint8Array): DecodedFrame {
  if (frame.length < ETHERNET_HEADER) return cut('Ethernet', frame)
  const [to, from] = [macText(frame.subarray(0, 6)), macText(frame.subarray(6, 12))]
  const isTagged = get16(frame, 12) === TYPE_VLAN && frame.length >= ETHERNET_HEADER + 4
  const type = get16(frame, isTagged ? 16 : 12)
  const payload = frame.subarray(isTagged ? ETHERNET_HEADER + 4 : ETHERNET_HEADER)
  if (type === 0x0806) return arp(payload)
  if (type === 0x0800) return ipv4(payload)
  if (type === 0x86dd) return ipv6(payload)
  const text = `Ethernet ${from} > ${to} type 0x${type.toString(16).padStart(4, '0')}, ${bytesText(payload)}`
  return { protocol: 'Ethernet', text, payload }
}

/** Lines of this many bytes: where they are, in hexadecimal, and as text. */
export function hexLines(bytes: Uint8Array, count = 16): string[] {
  return Array.from({ length: Math.ceil(bytes.length / count) }, (_, line) => {
    const row = [...bytes.subarray(line * count, (line + 1) * count)]
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('')
    return `${(line * count).toString(16).padStart(4, '0')}  ${hex.padEnd(count * 3 - 1)}  ${text}`
  })
}

const get16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!
const get32 = (bytes: Uint8Array, at: number): number => (get16(bytes, at) * 0x1_0000 + get16(bytes, at + 2)) >>> 0
const bytesText = ({ length }: Uint8Array): string => (length === 1 ? '1 byte' : `${length} bytes`)

const cut = (protocol: string, payload: Uint8Array): DecodedFrame => ({
  ...{ protocol, payload },
  text: `${protocol}, cut short: ${bytesText(payload)}`,
})

const macText = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
const ipv4Text = (bytes: Uint8Array): string => bytes.join('.')

/** An address of IPv6, with the longest run of zeros left out. Source: RFC 5952, "A Recommendation for IPv6 Text Representation". */
export function ipv6Text(bytes: Uint8Array): string {
  const text = Array.from({ length: 8 }, (_, i) => get16(bytes, 2 * i).toString(16)).join(':')
  const runs = [...text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].map(([run]) => run)
  const [longest] = runs.toSorted((one, other) => other.replace(/^:/, '').length - one.replace(/^:/, '').length)
  if (longest === undefined) return text
  const at = text.indexOf(longest)
  return `${text.slice(0, at)}::${text.slice(at + longest.length + 1)}`
}

function arp(bytes: Uint8Array): DecodedFrame {
  if (bytes.length < 28) return cut('ARP', bytes)
  const [sender, target] = [ipv4Text(bytes.subarray(14, 18)), ipv4Text(bytes.subarray(24, 28))]
  const isReply = get16(bytes, 6) === 2
  const text = isReply ? `${sender} is at ${macText(bytes.subarray(8, 14))}` : `who has ${target}? asks ${sender}`
  return { protocol: 'ARP', text: `ARP ${text}`, payload: bytes.subarray(28) }
}

function ipv4(bytes: Uint8Array): DecodedFrame {
  const header = (bytes[0] ?? 0) & 15
  if (bytes.length < 20 || header < 5 || bytes.length < header * 4) return cut('IPv4', bytes)
  // Short frames are padded: padding is not part of the packet.
  const payload = bytes.subarray(header * 4, Math.max(header * 4, get16(bytes, 2)))
  const ends: Ends = [ipv4Text(bytes.subarray(12, 16)), ipv4Text(bytes.subarray(16, 20))]
  return carried('IPv4', { protocol: bytes[9]!, offset: (get16(bytes, 6) & 0x1fff) * 8, ends, payload })
}

function ipv6(bytes: Uint8Array): DecodedFrame {
  if (bytes.length < 40) return cut('IPv6', bytes)
  const ends: Ends = [ipv6Text(bytes.subarray(8, 24)), ipv6Text(bytes.subarray(24, 40))]
  let [protocol, offset] = [bytes[6]!, 0]
  let payload = bytes.subarray(40, 40 + get16(bytes, 4))
  while ((EXTENSIONS.includes(protocol) || protocol === FRAGMENT) && payload.length >= 8) {
    if (protocol === FRAGMENT) offset = get16(payload, 2) & ~7
    const length = protocol === FRAGMENT ? 8 : (payload[1]! + 1) * 8
    protocol = payload[0]!
    payload = payload.subarray(length)
  }
  return carried('IPv6', { protocol, offset, ends, payload })
}

/** The addresses of the sender and of the receiver. */
type Ends = readonly [string, string]

interface Packet {
  readonly protocol: number
  /** The place of the payload in that of the whole packet: only the first of its fragments has the header within. */
  readonly offset: number
  readonly ends: Ends
  readonly payload: Uint8Array
}

function carried(version: 'IPv4' | 'IPv6', { protocol, offset, ends, payload }: Packet): DecodedFrame {
  const route = ends.join(' > ')
  const plain = (what: string): DecodedFrame => ({
    ...{ protocol: version, payload },
    text: `${version} ${route} ${what}, ${bytesText(payload)}`,
  })
  if (offset > 0) return plain(`fragment at ${offset}`)
  if (protocol === 6) return tcp(ends, payload)
  if (protocol === 17) return udp(ends, payload)
  if (protocol !== 1 && protocol !== 58) return plain(`protocol ${protocol}`)
  const [name, types] = protocol === 1 ? ['ICMP', ICMP] : ['ICMPv6', ICMPV6]
  if (payload.length < 8) return cut(name, payload)
  const type = payload[0]!
  const isEcho = types[type]?.startsWith('echo') === true
  const more = isEcho ? ` ${get16(payload, 6)}` : payload[1] === 0 ? '' : ` (code ${payload[1]})`
  return {
    protocol: name,
    text: `${name} ${route} ${types[type] ?? `type ${type}`}${more}`,
    payload: payload.subarray(8),
  }
}

function withPorts([from, to]: Ends, ports: readonly [number, number]): string {
  const end = (address: string, port: number): string => `${address.includes(':') ? `[${address}]` : address}:${port}`
  return `${end(from, ports[0])} > ${end(to, ports[1])}`
}

function tcp(ends: Ends, bytes: Uint8Array): DecodedFrame {
  const header = ((bytes[12] ?? 0) >>> 4) * 4
  if (bytes.length < TCP_HEADER || header < TCP_HEADER || header > bytes.length) return cut('TCP', bytes)
  const ports = [get16(bytes, 0), get16(bytes, 2)] as const
  const flags = TCP_FLAGS.filter((_, bit) => (bytes[13]! >>> bit) & 1)
  const payload = bytes.subarray(header)
  const numbers = `seq ${get32(bytes, 4)}${flags.includes('ACK') ? ` ack ${get32(bytes, 8)}` : ''}`
  const length = payload.length === 0 ? '' : `, ${bytesText(payload)}`
  return {
    ...{ protocol: 'TCP', ports, payload },
    text: `TCP ${withPorts(ends, ports)} ${flags.join(' ')} ${numbers}${length}`,
  }
}

function udp(ends: Ends, bytes: Uint8Array): DecodedFrame {
  if (bytes.length < UDP_HEADER) return cut('UDP', bytes)
  const ports = [get16(bytes, 0), get16(bytes, 2)] as const
  const payload = bytes.subarray(UDP_HEADER, Math.max(UDP_HEADER, get16(bytes, 4)))
  return { ...{ protocol: 'UDP', ports, payload }, text: `UDP ${withPorts(ends, ports)}, ${bytesText(payload)}` }
}
