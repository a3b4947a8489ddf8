// The order of the pages. A test holds it to the pages that there are.
import type { DefaultTheme } from 'vitepress'

export const sidebar: DefaultTheme.SidebarItem[] = [
  {
    text: 'retrap',
    items: [
      { text: 'What is this?', link: '/' },
      { text: 'Getting started', link: '/start' },
    ],
  },
]
