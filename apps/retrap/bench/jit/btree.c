// A B-tree of random keys: insertions, then as many look-ups. COUNT is in thousands.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDER = 32 };
struct node {
  int count, leaf;
  uint32_t keys[ORDER - 1];
  struct node *children[ORDER];
};

static struct node *make(int leaf) {
  struct node *node = calloc(1, sizeof *node);
  node->leaf = leaf;
  return node;
}

static int search(const struct node *node, uint32_t key) {
  int low = 0, high = node->count;
  while (low < high) {
    int middle = (low + high) / 2;
    if (node->keys[middle] < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

static void split(struct node *parent, int at) {
  struct node *left = parent->children[at], *right = make(left->leaf);
  int half = ORDER / 2;
  right->count = ORDER - 1 - half;
  memcpy(right->keys, left->keys + half, right->count * sizeof *right->keys);
  if (!left->leaf) memcpy(right->children, left->children + half, (right->count + 1) * sizeof *right->children);
  left->count = half - 1;
  memmove(parent->keys + at + 1, parent->keys + at, (parent->count - at) * sizeof *parent->keys);
  memmove(parent->children + at + 2, parent->children + at + 1, (parent->count - at) * sizeof *parent->children);
  parent->keys[at] = left->keys[half - 1];
  parent->children[at + 1] = right;
  parent->count++;
}

static struct node *insert(struct node *root, uint32_t key) {
  if (root->count == ORDER - 1) {
    struct node *above = make(0);
    above->children[0] = root;
    split(above, 0);
    root = above;
  }
  struct node *at = root;
  for (;;) {
    int i = search(at, key);
    if (i < at->count && at->keys[i] == key) return root;
    if (at->leaf) {
      memmove(at->keys + i + 1, at->keys + i, (at->count - i) * sizeof *at->keys);
      at->keys[i] = key;
      at->count++;
      return root;
    }
    if (at->children[i]->count == ORDER - 1) {
      split(at, i);
      if (at->keys[i] < key) i++;
      else if (at->keys[i] == key) return root;
    }
    at = at->children[i];
  }
}

static int has(const struct node *at, uint32_t key) {
  for (;;) {
    int i = search(at, key);
    if (i < at->count && at->keys[i] == key) return 1;
    if (at->leaf) return 0;
    at = at->children[i];
  }
}

int main(int argc, char **argv) {
  long count = (argc > 1 ? atol(argv[1]) : 1) * 1000;
  struct node *root = make(1);
  uint32_t seed = 1;
  for (long i = 0; i < count; i++) root = insert(root, (seed = seed * 1664525 + 1013904223) >> 4);
  long found = 0;
  seed = 12345;
  for (long i = 0; i < count; i++) found += has(root, (seed = seed * 1664525 + 1013904223) >> 4);
  printf("btree %ld\n", found);
  return 0;
}
