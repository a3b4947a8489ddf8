// The order of the pages. A test holds it to the pages that there are.
import type { DefaultTheme } from 'vitepress'

export const sidebar: DefaultTheme.SidebarItem[] = [
  {
    text: 'retrap',
    items: [
      { text: 'What is this?', link: '/' },
      { text: 'Getting started', link: '/start' },
      { text: 'New in 0.3.0', link: '/new' },
    ],
  },
  {
    text: 'Tutorials',
    items: [
      { text: 'All tutorials', link: '/tutorials/' },
      { text: 'A device in 30 lines', link: '/tutorials/device' },
      { text: 'A device in C or Python', link: '/tutorials/programs' },
      { text: 'Your RTL under a driver', link: '/tutorials/rtl' },
      { text: 'A boot sector', link: '/tutorials/boot-sector' },
      { text: 'Testing a kernel', link: '/tutorials/kernel-test' },
      { text: 'Stepping backwards', link: '/tutorials/backwards' },
      { text: 'A disassembler', link: '/tutorials/disassembler' },
      { text: 'An Arm abort loop', link: '/tutorials/arm-aborts' },
      { text: 'A PC in your page', link: '/tutorials/embed' },
      { text: 'Your own virtio device', link: '/tutorials/virtio' },
      { text: 'A network between tabs', link: '/tutorials/network' },
      { text: 'A slow device', link: '/tutorials/slow-device' },
      { text: 'A Raft that votes twice', link: '/tutorials/raft' },
    ],
  },
  {
    text: 'Guides',
    items: [
      { text: 'All guides', link: '/guides/' },
      { text: 'Devices', link: '/guides/devices' },
      { text: 'Transports', link: '/guides/transports' },
      { text: 'Storage', link: '/guides/storage' },
      { text: 'Networks', link: '/guides/network' },
      { text: 'Debugging', link: '/guides/debugging' },
      { text: 'Lines of QEMU’s', link: '/guides/qemu' },
      { text: 'In CI', link: '/guides/ci' },
      { text: 'AVX-512, APX and AMX', link: '/guides/avx512' },
      { text: 'Firmware in CI', link: '/guides/firmware' },
      { text: 'Time travel', link: '/guides/time-travel' },
      { text: 'Performance', link: '/guides/performance' },
      { text: 'Embedding', link: '/guides/embedding' },
      { text: 'Many machines', link: '/guides/fleets' },
      { text: 'Clusters', link: '/guides/cluster' },
      { text: 'Compose files', link: '/guides/compose' },
      { text: 'Machines for a model', link: '/guides/mcp' },
      { text: 'Packages from a clone', link: '/guides/checkout' },
    ],
  },
  {
    text: 'How it works',
    items: [
      { text: 'The seven ideas', link: '/ideas/' },
      { text: 'Exact replay', link: '/ideas/replay' },
      { text: 'The paging-structure cache', link: '/ideas/paging-structures' },
      { text: 'Taking memory away', link: '/ideas/invalidation' },
      { text: 'Syndromes and the fetch race', link: '/ideas/syndromes' },
      { text: 'Patching TPR accesses', link: '/ideas/tpr' },
      { text: 'One semantics, two executions', link: '/ideas/one-semantics' },
      { text: 'vCPUs in threads', link: '/ideas/threads' },
    ],
  },
  {
    text: 'Facts',
    items: [
      { text: 'What is supported', link: '/support' },
      { text: 'The file of a cluster', link: '/cluster-file' },
      { text: 'Comparison', link: '/compare' },
      { text: 'Figures', link: '/figures' },
    ],
  },
]
